// «Доставка MeaSoft: ошибки»: everything of this module that gave up, the newest first.

import { defineComponent, h, ref } from 'vue'
import { useField, useSettingsContext } from '@retailcrm/embed-ui'
import { UiAlert, UiButton, UiPageHeader } from '@retailcrm/embed-ui-v1-components/remote'

import { type Done, type Failure, type Page, Refused, useBridge } from './bridge'
import { Failures } from './failures'

export const FailuresPage = defineComponent({
  props: { code: String },
  setup() {
    const settings = useSettingsContext()
    const locale = useField(settings, 'system.locale')
    const bridge = useBridge(() => locale.value)
    const page = ref<Page | null>(null)
    const said = ref('')
    const failed = ref('')
    const busy = ref(false)

    const attempt = async (work: () => Promise<void>) => {
      busy.value = true
      failed.value = ''
      try {
        await work()
      } catch (error) {
        failed.value = error instanceof Refused ? error.message : String(error)
      } finally {
        busy.value = false
      }
    }
    const show = () => attempt(async () => void (page.value = await bridge<Page>('failures', {})))
    const further = (before: number) =>
      attempt(async () => {
        const more = await bridge<Page>('failures', { before })
        page.value = { ...more, failures: [...(page.value?.failures ?? []), ...more.failures] }
      })
    const again = (one: Failure) =>
      attempt(async () => {
        said.value = ''
        said.value = (await bridge<Done>('retry', { letter: one.id })).said
        page.value = await bridge<Page>('failures', {})
      })
    void settings.initialize().then(show)

    return () => {
      const shown = page.value
      const problem = failed.value ? h(UiAlert, { variant: 'danger', text: failed.value }) : null
      if (!shown) return problem
      const { title, failures, words } = shown
      return h('div', { class: 'measoft-page' }, [
        h(UiPageHeader, { value: title }),
        said.value ? h(UiAlert, { variant: 'success', text: said.value }) : null,
        problem,
        h('div', { class: 'measoft-sheet' }, [
          failures.length === 0 ? h('p', words.nothing) : null,
          h(Failures, { failures, words, orders: true, busy: busy.value, onAgain: again }),
          shown.further === null
            ? null
            : h(
                UiButton,
                { appearance: 'tertiary', disabled: busy.value, onClick: () => further(shown.further as number) },
                () => words.more
              ),
        ]),
      ])
    }
  },
})

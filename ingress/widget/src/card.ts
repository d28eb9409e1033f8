// In the order's card: one button, and beside it what is behind its word.

import { computed, defineComponent, h, onUnmounted, ref, watch } from 'vue'
import { useField, useOrderCardContext, useSettingsContext } from '@retailcrm/embed-ui'
import { UiAlert, UiButton, UiModalSidebar, UiToolbarButton } from '@retailcrm/embed-ui-v1-components/remote'

import { type Card, type Done, type Failure, type Told, Refused, unreached, useBridge } from './bridge'
import { Failures } from './failures'

/** Looks at what moves; after that many the manager looks by opening the sidebar. */
const LOOKS = 40
/** Seconds until what failed is tried again. */
const AGAIN = 15
/** The same after an act, whose effect may take a while to show. */
const EFFECTS = [3, 5, 10]

export const OrderCard = defineComponent({
  props: { target: String },
  setup() {
    const order = useOrderCardContext()
    const settings = useSettingsContext()
    const ready = ref(false)
    void Promise.all([order.initialize(), settings.initialize()]).then(() => (ready.value = true))
    const id = useField(order, 'id')
    const number = useField(order, 'number')
    const locale = useField(settings, 'system.locale')
    const bridge = useBridge(() => locale.value)

    const card = ref<Card | null>(null)
    const story = ref<Told[]>([])
    const said = ref('')
    const failed = ref('')
    const opened = ref(false)
    const busy = ref(false)
    const mine = computed(() => ({ order: id.value, number: number.value }))

    let timer: ReturnType<typeof setTimeout> | undefined
    let looks = 0
    let effects: number[] = []
    // What an older question brings is no longer wanted: another order may be open by now.
    let question = 0
    const later = (seconds: number) => {
      clearTimeout(timer)
      if (looks++ < LOOKS) timer = setTimeout(look, seconds * 1000)
    }
    const fail = (error: unknown) => (failed.value = error instanceof Refused ? error.message : String(error))
    const look = async () => {
      clearTimeout(timer)
      const mark = ++question
      try {
        const shown = await bridge<Card>('order', mine.value)
        if (mark !== question) return
        card.value = shown
        failed.value = ''
        if (opened.value) {
          const told = await bridge<Told[]>('story', mine.value)
          if (mark !== question) return
          story.value = told
        }
        const next = shown.look ?? effects.shift()
        if (next !== undefined) later(next)
      } catch (error) {
        if (mark !== question) return
        fail(error)
        later(AGAIN)
      }
    }
    const anew = () => {
      looks = 0
      return look()
    }
    watch(
      [ready, id, locale],
      () => {
        clearTimeout(timer)
        question++
        effects = []
        card.value = null
        story.value = []
        said.value = ''
        failed.value = ''
        // A card that was never saved has no id yet.
        if (ready.value && id.value) void anew()
      },
      { immediate: true }
    )
    onUnmounted(() => clearTimeout(timer))

    const act = async (what: string, payload: Record<string, unknown>) => {
      const asked = id.value
      busy.value = true
      said.value = ''
      try {
        const done = await bridge<Done>(what, { ...mine.value, ...payload })
        if (asked !== id.value) return
        said.value = done.said
        effects = [...EFFECTS]
        await anew()
      } catch (error) {
        if (asked === id.value) fail(error)
      } finally {
        busy.value = false
      }
    }
    const open = () => {
      said.value = ''
      story.value = []
      opened.value = true
      void anew()
    }

    const answers = () =>
      h('div', { class: 'measoft-said' }, [
        said.value ? h(UiAlert, { variant: 'success', text: said.value }) : null,
        failed.value ? h(UiAlert, { variant: 'danger', text: failed.value }) : null,
      ])
    const content = ({ facts, failures, words }: Card) => [
      h('dl', { class: 'measoft-facts' }, facts.map(([name, value]) => [h('dt', name), h('dd', value)]).flat()),
      failures.length > 0 ? h('h3', words.failures) : null,
      h(Failures, { failures, words, busy: busy.value, onAgain: (one: Failure) => act('retry', { letter: one.id }) }),
      h('h3', words.story),
      h(
        'ol',
        { class: 'measoft-story' },
        story.value.map(({ at, what, text }) =>
          h('li', [
            h('p', { class: 'measoft-dim' }, [at, what].filter(Boolean).join(' · ')),
            text ? h('p', text) : null,
          ])
        )
      ),
    ]
    const footer = ({ ask, words }: Card) =>
      h('div', { class: 'measoft-acts' }, [
        ask === null
          ? null
          : h(UiButton, { disabled: busy.value, onClick: () => act('ask', { seen: ask }) }, () => words.ask),
        h(UiButton, { appearance: 'secondary', onClick: () => (opened.value = false) }, () => words.close),
      ])

    return () => {
      const shown = card.value
      const button = shown ? shown.button : failed.value ? unreached(locale.value) : ''
      if (!button) return null
      const title = shown?.title ?? button
      return [
        h(UiToolbarButton, { class: `measoft-button measoft-${shown?.tone ?? 'bad'}`, onClick: open }, () => button),
        h(
          UiModalSidebar,
          {
            opened: opened.value,
            'onUpdate:opened': (value: boolean) => (opened.value = value),
            'aria-label': title,
          },
          {
            title: () => title,
            default: () => h('div', { class: 'measoft-card' }, [answers(), ...(shown ? content(shown) : [])]),
            footer: () => (shown ? footer(shown) : null),
          }
        ),
      ]
    }
  },
})

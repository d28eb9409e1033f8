// What gave up, what to do about it, and «once more».

import { defineComponent, h, type PropType } from 'vue'
import { UiButton, UiLink } from '@retailcrm/embed-ui-v1-components/remote'

import type { Failure, Words } from './bridge'

export const Failures = defineComponent({
  props: {
    failures: { type: Array as PropType<Failure[]>, required: true },
    words: { type: Object as PropType<Words>, required: true },
    /** Whose they are is not clear from where they are shown. */
    orders: Boolean,
    busy: Boolean,
  },
  emits: { again: (_: Failure) => true },
  setup: (props, { emit }) => () =>
    props.failures.map(failure => {
      const { order, kind, at, times } = failure
      const happened = times > 1 ? `${at} · ×${times}` : at
      const number = order.id
        ? h(UiLink, { href: `/orders/${order.id}/edit`, target: '_blank' }, () => order.number)
        : order.number
      return h('section', { class: 'measoft-failure', key: failure.id }, [
        h('p', { class: 'measoft-dim' }, [props.orders ? [number, ' · '] : [], `${kind} · ${happened}`]),
        h('p', { class: 'measoft-bad' }, failure.text),
        h('p', [h('b', `${props.words.nextStep}: `), failure.nextStep]),
        failure.replayable
          ? h(
              UiButton,
              { size: 'sm', appearance: 'secondary', disabled: props.busy, onClick: () => emit('again', failure) },
              () => props.words.again
            )
          : null,
      ])
    }),
})

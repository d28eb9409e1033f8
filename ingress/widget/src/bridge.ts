// What ingress answers under /retailcrm/widget. Words are its own, in the language asked for:
// nothing is worded here but that it does not answer.

import { useHost } from '@retailcrm/embed-ui'

export type Failure = {
  id: number
  order: { id: number | null; number: string }
  kind: string
  at: string
  times: number
  text: string
  nextStep: string
  replayable: boolean
}

export type Words = {
  failures: string
  nextStep: string
  again: string
  ask: string
  story: string
  close: string
  more: string
  nothing: string
}

export type Card = {
  button: string
  tone: 'bad' | 'wait' | 'good' | 'plain'
  title: string
  facts: [string, string][]
  failures: Failure[]
  /** What an «ask the courier» refers to; null: there is nothing to ask about. */
  ask: number | null
  /** Seconds until it is worth looking again; null: nothing moves. */
  look: number | null
  words: Words
}

export type Told = { at: string; what: string; text: string }
export type Page = { title: string; failures: Failure[]; further: number | null; words: Words }
export type Done = { said: string }

type Asked = { success?: boolean; result?: unknown; errorMsg?: string }

const AWAY = {
  ru: 'Интеграция с MeaSoft не отвечает, повторите через минуту',
  en: 'The MeaSoft integration does not answer, try again in a minute',
}

const UNREACHED = { ru: 'Доставка MeaSoft: нет ответа', en: 'MeaSoft delivery: no answer' }

const language = (locale: string) => (locale.startsWith('ru') ? 'ru' : 'en')

/** The button's words while ingress was never heard. */
export const unreached = (locale: string) => UNREACHED[language(locale)]

/** What went wrong, for people. */
export class Refused extends Error {}

const read = (body: string): Asked => {
  try {
    return JSON.parse(body) as Asked
  } catch {
    return {}
  }
}

/** Asks ingress, through RetailCRM, which adds the module's credential. */
export const useBridge = (locale: () => string) => {
  const host = useHost()
  return async <T>(what: string, payload: Record<string, unknown>): Promise<T> => {
    const away = new Refused(AWAY[language(locale())])
    const answer = await host
      .httpCall(`/retailcrm/widget/${what}`, { ...payload, language: locale() })
      .catch(() => null)
    const { success, result, errorMsg } = read(answer?.body ?? '')
    if (success) return result as T
    throw errorMsg ? new Refused(errorMsg) : away
  }
}

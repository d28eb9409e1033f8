// The order card's widget and the page of failures inside RetailCRM, run by it in a worker.

import { defineRunner, runEndpoint, definePageRunner, defineWidgetRunner } from '@retailcrm/embed-ui-v1-endpoint/remote'

import { OrderCard } from './card'
import { FailuresPage } from './page'
import './widget.css'

runEndpoint(
  defineRunner({
    pages: [{ 'measoft-failures': definePageRunner(FailuresPage) }],
    widgets: [
      {
        'order/card:delivery.after': defineWidgetRunner(OrderCard),
        'order/mg:delivery.after': defineWidgetRunner(OrderCard),
      },
    ],
  })
)

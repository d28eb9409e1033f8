-- Orders of integrations that are a shadow of another one: what would be done, what MeaSoft has,
-- and on which side of a canary an order is.

CREATE TABLE shadow_orders (
    integration_id BIGINT NOT NULL,
    -- RetailCRM's id; of a number that no order could be told by, «#» and the number.
    order_key TEXT NOT NULL,
    number TEXT NOT NULL,
    -- At MeaSoft; NULL: it would get none.
    orderno TEXT,
    -- shadow, live. Never changed while the integration is a shadow.
    side TEXT NOT NULL,
    -- A state of deliveries: where the order would be if we had acted.
    state TEXT NOT NULL,
    -- nothing, waiting, same, different, missing_there, missing_here, refused.
    verdict TEXT NOT NULL,
    -- JSON: what would be there, blinded where it is about people; what differs; why it is refused.
    content TEXT NOT NULL,
    decided_at BIGINT NOT NULL,
    -- When MeaSoft is asked next; NULL: not any more.
    due_at BIGINT,
    asks BIGINT NOT NULL,
    asked_at BIGINT,
    -- Raised by each decision: what was asked for an earlier one says nothing of it.
    version BIGINT NOT NULL,
    PRIMARY KEY (integration_id, order_key)
);
CREATE INDEX shadow_orders_due ON shadow_orders (integration_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX shadow_orders_by_time ON shadow_orders (decided_at);

-- What keeps orders from standing still unseen: alerts, reconciliation, cancels
-- that are told to the cart.

-- How and when people are called; the webhook's secret is sealed like credentials.
alter table merchants add column alerts jsonb not null default '{}', add column alerts_secret bytea,
  add column alerts_read_at timestamptz not null default now(); -- when alerts were last looked after

-- One open alert a cause. Nothing in it is personal data.
create table alerts (
  id          bigint generated always as identity primary key,
  merchant_id text not null references merchants,
  cause       text not null check (cause <> ''), -- 'hold/bad_address', 'connection/shop', 'order/SO-1042/back_at_cart'
  level       smallint not null default 1 check (level between 1 and 9), -- rises as it ages
  headline    text not null check (headline <> ''),
  since       timestamptz not null,               -- of what it is about: of the oldest, where there are several
  event_id    bigint references order_events,     -- the entry of the order's trail that raised it
  opened_at   timestamptz not null default now(),
  raised_at   timestamptz not null default now(), -- when it last rose to a level
  seen_at     timestamptz not null default now(), -- when its cause was last seen to stand
  closed_at   timestamptz,
  closed_by   text,                               -- 'recovered', or the person who closed it
  check ((closed_at is null) = (closed_by is null)),
  check ((event_id is not null) = (cause like 'order/%'))
);
create unique index alerts_one_open on alerts (merchant_id, cause) where closed_at is null;
create index alerts_by_cause on alerts (merchant_id, cause, event_id);

-- The entries of trails that people must know of, to be found without reading the others.
create index order_events_alarms on order_events (at)
  where kind in ('back_at_cart', 'changed_too_late', 'duplicate_found', 'cancel_too_late', 'shipped_after_all')
    or (kind = 'cancelled' and detail @> '{"asked": false}') or (kind = 'warehouse_status' and detail @> '{"status": "gone"}');

-- What one look at the alerts has to say on one channel, in one message.
create table alert_messages (
  id          bigint generated always as identity primary key,
  merchant_id text not null references merchants,
  channel     text not null check (channel in ('email', 'webhook')),
  key         text not null unique check (key <> ''), -- the same in every try: receivers may drop what they have seen
  test        boolean not null default false,         -- of a person who tries the channel: it is about no alert
  created_at  timestamptz not null default now(),
  attempts    integer not null default 0,
  next_at     timestamptz not null default now(),     -- when it is tried (again); while it is being sent, when that attempt counts as lost
  delivered   text[] not null default '{}',           -- recipients who have it, while others do not
  sent_at     timestamptz,
  gave_up_at  timestamptz,
  error       text,                                   -- of the last attempt; may quote a recipient
  check (sent_at is null or gave_up_at is null)
);
create index alert_messages_due on alert_messages (merchant_id, next_at) where sent_at is null and gave_up_at is null;
create index alert_messages_by_channel on alert_messages (merchant_id, channel, id);

-- What a message says of an alert, as it stood then.
create table alert_notices (
  message_id bigint not null references alert_messages,
  alert_id   bigint not null references alerts,
  news       text not null check (news in ('opened', 'raised', 'closed')),
  level      smallint not null,
  headline   text not null,
  since      timestamptz not null,
  primary key (message_id, alert_id)
);
create index alert_notices_by_alert on alert_notices (alert_id, message_id);

-- A person's cancel is told to the cart, and an edit that comes while nobody
-- knows whether the warehouse has the order is kept until that is known.
alter table orders
  add column cart_cancel_at       timestamptz, -- when to tell the cart (again), once the order has ended as cancelled; null: nothing to tell
  add column cart_cancel_attempts integer not null default 0,
  add column cart_cancel_sent_at  timestamptz, -- when a try began whose outcome is not known
  add column cart_cancel_error    text,        -- why the cart did not take it
  add column cart_cancelled_at    timestamptz, -- since when it is known to be cancelled at the cart, by whomever
  add column late_edit            jsonb;       -- personal data: the order as its cart last told it, to be taken over should the warehouse not have it
update orders set cart_cancelled_at = cancel_requested_at where cancel_requested_by like 'cart %';
create index orders_late_edits on orders (cart_id, id) where late_edit is not null;
create index orders_cancels_to_tell on orders (cart_id, cart_cancel_at) where cart_cancel_at is not null;

-- What the warehouse, or a check of ours, wrote with a refusal: it may quote an
-- address. Here and not in the trail, out of which nothing can ever be taken.
alter table submissions add column answer_words text, add column answer_fields jsonb;

-- Which warehouse order an attempt led to: of a reopened order, the cancelled
-- one too is never taken for another.
alter table submissions add column warehouse_order_id text;
update submissions s set warehouse_order_id = o.warehouse_order_id from orders o where o.id = s.order_id and s.state in ('accepted', 'withdrawn');
create index submissions_by_warehouse_order on submissions (warehouse_id, warehouse_order_id) where warehouse_order_id is not null;

-- One run of reconciliation over a connection: how its books compare with the ledger.
create table reconciliations (
  id            bigint generated always as identity primary key,
  merchant_id   text not null references merchants,
  connection_id bigint not null references connections,
  began_at      timestamptz not null default now(),
  ended_at      timestamptz,                -- null while it goes on
  checked       integer not null default 0, -- orders and stock levels compared
  found         integer not null default 0, -- differences
  repaired      integer not null default 0  -- of them
);
create unique index reconciliations_one_under_way on reconciliations (connection_id) where ended_at is null;
create index reconciliations_by_connection on reconciliations (connection_id, id);

-- What reconciliation found. Open until it is mended or not found again.
create table findings (
  id                bigint generated always as identity primary key,
  merchant_id       text not null references merchants,
  connection_id     bigint not null references connections,
  reconciliation_id bigint references reconciliations on delete set null, -- the run that saw it last
  kind              text not null check (kind <> ''),
  subject           text not null check (subject <> ''), -- an order's reference, a warehouse's order id, a SKU: never personal data
  order_id          bigint references orders,
  detail            jsonb,
  first_seen_at     timestamptz not null default now(),
  last_seen_at      timestamptz not null default now(),
  closed_at         timestamptz,
  repaired          boolean not null default false, -- it was mended when it was found
  check (not repaired or closed_at is not null)
);
create unique index findings_one_open on findings (connection_id, kind, subject) where closed_at is null;
-- A step that runs twice finds a thing once.
create unique index findings_once_a_run on findings (reconciliation_id, kind, subject);
create index findings_by_merchant on findings (merchant_id, id);
create index findings_by_subject on findings (connection_id, kind, subject);

-- What a cart's books are compared with.
create index orders_under_way_by_cart on orders (cart_id, id) where state in ('new', 'held', 'submitting', 'in_doubt', 'at_warehouse', 'shipped');

-- What stock is promised to, and whom it is offered to when it comes: the longest held first.
create index submissions_under_way on submissions (warehouse_id) where state in ('open', 'in_doubt');
create index orders_held_by_age on orders (merchant_id, first_held_at, id) where state = 'held';

---- create above / drop below ----

drop index submissions_under_way, orders_held_by_age;
drop index orders_under_way_by_cart;
drop table findings, reconciliations, alert_notices, alert_messages, alerts;
drop index order_events_alarms;
alter table orders drop column cart_cancel_at, drop column cart_cancel_attempts, drop column cart_cancel_sent_at, drop column cart_cancel_error, drop column cart_cancelled_at, drop column late_edit;
alter table submissions drop column warehouse_order_id;
alter table submissions drop column answer_words, drop column answer_fields;
alter table merchants drop column alerts, drop column alerts_secret, drop column alerts_read_at;

-- What keeps orders from standing still unseen: alerts, reconciliation, cancels
-- that are told to the cart.

-- How and when people are called; the webhook's secret is sealed like credentials.
alter table merchants add column alerts jsonb not null default '{}', add column alerts_secret bytea;

-- One open alert a cause. Nothing in it is personal data.
create table alerts (
  id          bigint generated always as identity primary key,
  merchant_id text not null references merchants,
  cause       text not null check (cause <> ''), -- 'hold/bad_address', 'connection/shop', 'order/SO-1042/back_at_cart'
  kind        text not null check (kind <> ''),  -- what kind of cause it is
  level       smallint not null default 1 check (level between 1 and 9), -- rises as it ages
  headline    text not null,
  detail      jsonb,
  opened_at   timestamptz not null default now(),
  raised_at   timestamptz not null default now(), -- when it reached its level
  seen_at     timestamptz not null default now(), -- when its cause was last seen to stand
  closed_at   timestamptz,
  closed_by   text,                               -- 'recovered', or the person who closed it
  check ((closed_at is null) = (closed_by is null))
);
create unique index alerts_one_open on alerts (merchant_id, cause) where closed_at is null;
create index alerts_by_merchant on alerts (merchant_id, id);

-- What is to be said of an alert, once on every channel.
create table alert_notices (
  id       bigint generated always as identity primary key,
  alert_id bigint not null references alerts,
  news     text not null check (news in ('opened', 'raised', 'closed')),
  level    smallint not null,
  channel  text not null check (channel in ('email', 'webhook')),
  key      text not null unique, -- the same in every try: receivers may drop what they have seen
  attempts integer not null default 0,
  next_at  timestamptz not null default now(),
  sent_at  timestamptz,
  gave_up_at timestamptz,        -- the alert itself stays, and says so
  error    text
);
create index alert_notices_due on alert_notices (next_at) where sent_at is null and gave_up_at is null;
create index alert_notices_by_alert on alert_notices (alert_id);

-- A cancel that did not come from the cart, and that the cart is to be told of.
alter table orders
  add column cart_cancel_at       timestamptz, -- when to tell the cart (again); null: nothing to tell
  add column cart_cancel_attempts integer not null default 0,
  add column cart_cancel_error    text,
  add column cart_cancelled_at    timestamptz; -- when the cart took it
create index orders_cancels_to_tell on orders (cart_id, cart_cancel_at) where cart_cancel_at is not null;

-- What the warehouse, or a check of ours, wrote with a refusal: it may quote an
-- address. Here and not in the trail, out of which nothing can ever be taken.
alter table submissions add column answer_words text, add column answer_fields jsonb;

-- What reconciliation found and could not mend. Closed when it is not found again.
create table findings (
  id            bigint generated always as identity primary key,
  merchant_id   text not null references merchants,
  connection_id bigint not null references connections,
  kind          text not null check (kind <> ''),
  subject       text not null check (subject <> ''), -- an order's reference, a cart's order number, a SKU: never personal data
  order_id      bigint references orders,
  detail        jsonb,
  first_seen_at timestamptz not null default now(),
  last_seen_at  timestamptz not null default now(),
  closed_at     timestamptz,
  repaired      boolean not null default false -- it was mended when it was found
);
create unique index findings_one_open on findings (connection_id, kind, subject) where closed_at is null;
create index findings_by_merchant on findings (merchant_id, id);

-- One run of reconciliation over a connection.
create table reconciliations (
  id            bigint generated always as identity primary key,
  merchant_id   text not null references merchants,
  connection_id bigint not null references connections,
  began_at      timestamptz not null,
  ended_at      timestamptz,           -- null while it goes on
  checked       integer not null default 0,
  found         integer not null default 0,
  repaired      integer not null default 0
);
create index reconciliations_by_connection on reconciliations (connection_id, id);

---- create above / drop below ----

drop table reconciliations, findings, alert_notices, alerts;
alter table orders drop column cart_cancel_at, drop column cart_cancel_attempts, drop column cart_cancel_error, drop column cart_cancelled_at;
alter table submissions drop column answer_words, drop column answer_fields;
alter table merchants drop column alerts, drop column alerts_secret;

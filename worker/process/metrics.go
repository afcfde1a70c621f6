package process

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"orderferry/relay"
	"orderferry/store"
)

var (
	ordersDesc = prometheus.NewDesc("orderferry_orders", "Orders under way by state.", []string{"merchant", "state"}, nil)
	holdsDesc  = prometheus.NewDesc("orderferry_orders_held", "Orders on hold by reason.", []string{"merchant", "reason"}, nil)
	// A merchant's own workflow raises its alerts: that it does not is for others to see.
	lookedDesc = prometheus.NewDesc("orderferry_alerts_looked_timestamp_seconds", "When a merchant's alerts were last looked after, in Unix time.", []string{"merchant"}, nil)
)

// ledgerCollector counts orders that have not ended, and tells when alerts were looked
// after, when it is asked, at most for a few seconds.
type ledgerCollector struct {
	ledger *store.Store
	log    *slog.Logger
}

func (ledgerCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- ordersDesc
	ch <- holdsDesc
	ch <- lookedDesc
}

func (c ledgerCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	merchants, err := c.ledger.Merchants(ctx)
	if err != nil {
		c.log.Warn("could not read merchants for metrics", "error", err)
		return
	}
	for _, m := range merchants {
		ch <- prometheus.MustNewConstMetric(lookedDesc, prometheus.GaugeValue, float64(m.LookedAt.Unix()), string(m.ID))
	}
	counts, err := c.ledger.CountsUnderWay(ctx)
	if err != nil {
		c.log.Warn("could not count orders for metrics", "error", err)
		return
	}
	for _, m := range counts {
		for _, s := range relay.OrderStates() {
			if s.Ended() {
				continue
			}
			ch <- prometheus.MustNewConstMetric(ordersDesc, prometheus.GaugeValue, float64(m.States[s]), string(m.Merchant), string(s))
		}
		for _, r := range relay.HoldReasons() {
			ch <- prometheus.MustNewConstMetric(holdsDesc, prometheus.GaugeValue, float64(m.Holds[r]), string(m.Merchant), string(r))
		}
	}
}

package merchantfile

import (
	"fmt"
	"iter"
	"slices"

	"orderferry/relay"
)

// alerts reads when people are called and how, and the secret of the webhook.
func (r *reader) alerts(of section) (p relay.AlertPolicy, secret string) {
	e, ok := of.entry("alerts")
	if !ok {
		return p, ""
	}
	s := r.section(e.value, e.place, of.field("alerts"), "after", "unshipped", "every", "email", "webhook")
	for i, t := range s.texts("after", relay.MaxAlertLevel) {
		age, err := relay.ParseAge(t.text)
		if n := len(p.After); err == nil && n > 0 && age <= p.After[n-1] {
			err = fmt.Errorf("%s: want more than %s before it: the ages rise", age, p.After[n-1])
		}
		if err != nil {
			r.fault(t.place, fmt.Sprintf("%s[%d]", s.field("after"), i), "%v", err)
			continue
		}
		p.After = append(p.After, age)
	}
	if t, ok := s.text("unshipped"); ok {
		age, err := relay.ParseAge(t.text)
		if err != nil {
			r.fault(t.place, s.field("unshipped"), "%v", err)
		}
		p.Unshipped = age
	}
	if t, ok := s.text("every"); ok {
		every, err := relay.ParseAlertEvery(t.text)
		if err != nil {
			r.fault(t.place, s.field("every"), "%v", err)
		}
		p.Every = every
	}
	for i, t := range s.texts("email", relay.MaxAlertEmails) {
		err := relay.CheckEmail(t.text)
		if err == nil && slices.Contains(p.Email, t.text) {
			err = fmt.Errorf("%q is listed twice", t.text)
		}
		if err != nil {
			r.fault(t.place, fmt.Sprintf("%s[%d]", s.field("email"), i), "%v", err)
			continue
		}
		p.Email = append(p.Email, t.text)
	}
	p.Webhook, secret = r.webhook(s)
	return p, secret
}

// webhook reads where news is posted. Its secret is a credential: no fault quotes it.
func (r *reader) webhook(of section) (address, secret string) {
	e, ok := of.entry("webhook")
	if !ok {
		return "", ""
	}
	s := r.section(e.value, e.place, of.field("webhook"), "url", "secret")
	if s.broken {
		return "", ""
	}
	if t, ok := s.text("url"); !ok {
		s.missing("url", "the address that news is posted to")
	} else if err := relay.CheckWebhook(t.text); err != nil {
		r.fault(t.place, s.field("url"), "%v", err)
	} else {
		address = t.text
	}
	t, ok := s.text("secret")
	if !ok {
		s.missing("secret", "what the posts are signed with, such as ${ACME_ALERT_SECRET}")
		return address, ""
	}
	secret, err := r.expand(t.text)
	if err == nil {
		_, err = relay.ParseWebhookSecret(secret)
	}
	if err != nil {
		r.fault(t.place, s.field("secret"), "%v", err)
		return address, ""
	}
	return address, secret
}

// texts are the texts of a list of one to most, with their places in it; anything
// else is a fault.
func (s section) texts(key string, most int) iter.Seq2[int, *node] {
	return func(yield func(int, *node) bool) {
		e, ok := s.entry(key)
		if !ok || e.value.kind == refused {
			return
		}
		if n := len(e.value.items); e.value.kind != sequence || n < 1 || n > most {
			s.r.fault(e.place, s.field(key), "want a list of 1 to %d", most)
			return
		}
		for i, item := range e.value.items {
			switch {
			case item.kind == refused:
			case item.kind != scalar:
				s.r.fault(item.place, fmt.Sprintf("%s[%d]", s.field(key), i), "want text, got %s", item)
			case !yield(i, item):
				return
			}
		}
	}
}

// Package notify tells people of alerts: by e-mail through a mail server, and by
// signed posts to a webhook. It keeps nothing and retries nothing: a message that
// was not delivered comes again, with the same key. Its errors are of package
// relay; what servers wrote is in their Words, since it may quote a recipient.
package notify

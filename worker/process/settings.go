package process

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"

	"orderferry/activities"
	"orderferry/notify"
)

// Environment variables, besides Temporal's own (TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS..., TEMPORAL_PROFILE).
const (
	EnvDatabase = "DATABASE_URL"
	EnvKeyFile  = "ORDERFERRY_KEY_FILE"
	EnvListen   = "ORDERFERRY_LISTEN"
	EnvLook     = "ORDERFERRY_LOOK_AGAIN"
	EnvMail     = "ORDERFERRY_SMTP_URL"
	EnvMailFrom = "ORDERFERRY_SMTP_FROM"
)

// DefaultListen is loopback: opening health and metrics to others is a choice.
const DefaultListen = "127.0.0.1:9090"

// FromEnv reads the configuration from environment variables.
func FromEnv(env func(string) string, log *slog.Logger) (Config, error) {
	cfg := Config{DatabaseURL: env(EnvDatabase), KeyFile: env(EnvKeyFile), Listen: env(EnvListen), Log: log}
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.DatabaseURL == "" {
		return cfg, errors.New(EnvDatabase + " is not set: want a Postgres address such as postgres://user@host:5432/orderferry")
	}
	if cfg.KeyFile == "" {
		return cfg, errors.New(EnvKeyFile + " is not set: want the file that opens the sealed credentials; ferry migrate makes one")
	}
	var err error
	if cfg.Temporal, err = TemporalFromEnv(); err != nil {
		return cfg, err
	}
	if cfg.Deploy, err = deployFromEnv(env); err != nil {
		return cfg, err
	}
	cfg.Activities.Looks, err = activities.ParseLooks(env(EnvLook))
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", EnvLook, err)
	}
	cfg.Activities.Mail, err = MailFromEnv(env)
	return cfg, err
}

// MailFromEnv reads the mail server that e-mail about alerts goes through; nil
// where there is none.
func MailFromEnv(env func(string) string) (*notify.Mailer, error) {
	server, from := env(EnvMail), env(EnvMailFrom)
	switch {
	case server == "" && from == "":
		return nil, nil
	case server == "" || from == "":
		return nil, fmt.Errorf("%s and %s go together: want the mail server and the sender of e-mail about alerts", EnvMail, EnvMailFrom)
	}
	m, err := notify.NewMailer(server, from)
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w", EnvMail, EnvMailFrom, err)
	}
	return m, nil
}

// TemporalFromEnv reads Temporal's own profiles and variables.
func TemporalFromEnv() (client.Options, error) {
	o, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return o, fmt.Errorf("read Temporal's settings: %w", err)
	}
	if o.HostPort == "" {
		o.HostPort = client.DefaultHostPort
	}
	if o.Namespace == "" {
		o.Namespace = client.DefaultNamespace
	}
	return o, nil
}

// NewLog makes the process's structured log on standard error.
func NewLog(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.StringValue(a.Value.Time().UTC().Format(time.RFC3339Nano))
		}
		return a
	}}))
}

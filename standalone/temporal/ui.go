package temporal

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/temporalio/ui-server/v2/server/api"
	"github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/csrf"
	"github.com/temporalio/ui-server/v2/server/headers"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
)

// webUI serves Temporal's Web UI.
type webUI struct {
	address string
	server  *http.Server
	done    chan struct{}
}

func startUI(cfg Config, frontend string, conn *grpc.ClientConn) (*webUI, error) {
	handler, err := uiHandler(cfg, frontend, conn)
	if err != nil {
		return nil, fmt.Errorf("serve the Web UI: %w", err)
	}
	listener, err := net.Listen("tcp4", hostPort(cfg.UIPort))
	if err != nil {
		return nil, fmt.Errorf("serve the Web UI: %w", err)
	}
	w := &webUI{
		address: "http://" + listener.Addr().String(),
		server:  &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute},
		done:    make(chan struct{}),
	}
	go func() {
		defer close(w.done)
		if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			cfg.Log.Error("the Web UI ended", "error", err)
		}
	}()
	return w, nil
}

func (w *webUI) stop() {
	_ = w.server.Close()
	<-w.done
}

// uiHandler puts the UI server's parts together as it does itself, except that the listener and the connection are
// ours to close, that it ends with an error rather than the process, and that it is guarded.
func uiHandler(cfg Config, frontend string, conn *grpc.ClientConn) (http.Handler, error) {
	settings, err := config.NewConfigProviderWithRefresh(&config.Config{
		TemporalGRPCAddress: frontend,
		DefaultNamespace:    cfg.Namespace,
		EnableUI:            true,
		HideLogs:            true,
		// Nothing leaves the machine.
		DisableNewsFetch:   true,
		NotifyOnNewVersion: false,
		CORS:               config.CORS{CookieInsecure: true}, // plain HTTP
	})
	if err != nil {
		return nil, err
	}
	assets, err := ui.Assets()
	if err != nil {
		return nil, err
	}
	assets, err = fs.Sub(assets, "local")
	if err != nil {
		return nil, err
	}
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Logger.SetOutput(io.Discard)
	e.Use(middleware.Recover(), localOnly, middleware.Gzip(), middleware.Secure(),
		csrf.EnsureTokenCookie(false), middleware.CSRFWithConfig(csrf.MiddlewareConfig(settings, false)))
	route.SetHealthRoute(e)
	setAPIRoutes(e, settings, conn)
	if err := route.SetUIRoutes(e, "", assets, settings); err != nil {
		return nil, err
	}
	route.SetRenderRoute(e, "/")
	return e, nil
}

func setAPIRoutes(e *echo.Echo, settings *config.ConfigProviderWithRefresh, conn *grpc.ClientConn) {
	forward := []api.Middleware{headers.WithForwardHeaders([]string{"Caller-Type"})}
	v1 := e.Group("/api/v1")
	v1.GET("/settings", api.GetSettings(settings))
	v1.GET("/releases", api.GetLatestReleases(settings, api.NewReleaseChecker()))
	v1.GET("/ui-extensions", api.GetUIExtensions(settings, api.TemporalAccessCheck(conn, forward)))
	v1.GET(api.WorkflowRawHistoryUrl, api.WorkflowRawHistoryHandler(workflowservice.NewWorkflowServiceClient(conn)))
	v1.Any("/*", api.TemporalAPIHandler(settings, forward, conn))
}

// contained keeps the pages, which ask no password, from talking to any other host.
const contained = "connect-src 'self'; img-src 'self' data: blob:; font-src 'self' data:"

// localOnly refuses requests that came here under another name: a web site can point its own name at this machine to
// get its scripts past the browser's same-origin rule.
func localOnly(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !isLocal(c.Request().Host) {
			return echo.NewHTTPError(http.StatusForbidden, "not under this name")
		}
		// Added last, for the UI's handlers set the header anew; browsers obey all of them.
		c.Response().Before(func() { c.Response().Header().Add("Content-Security-Policy", contained) })
		return next(c)
	}
}

func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

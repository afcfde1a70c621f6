package temporal_test

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"orderferry/standalone/proctest"
	"orderferry/standalone/temporal"
)

func TestWebUI(t *testing.T) {
	port := proctest.Port(t)
	server := startServer(t, temporal.Config{File: filepath.Join(t.TempDir(), "temporal.db"), Namespace: "orderferry", UIPort: port})

	t.Run("serves its pages on the port it was given", func(t *testing.T) {
		_, on, err := net.SplitHostPort(strings.TrimPrefix(server.UIAddress(), "http://127.0.0.1"))
		require.NoError(t, err)
		require.Equal(t, port, mustAtoi(t, on))
		response, page := get(t, server.UIAddress()+"/namespaces/orderferry/workflows")
		require.Equal(t, http.StatusOK, response.StatusCode)
		require.Contains(t, string(page), `<div id="svelte">`)
		script := regexp.MustCompile(`/_app/immutable/entry/start\.[^"]+\.js`).FindString(string(page))
		response, _ = get(t, server.UIAddress()+script)
		require.Equal(t, http.StatusOK, response.StatusCode, script)
	})
	t.Run("shows the namespace", func(t *testing.T) {
		var listed struct {
			Namespaces []struct{ NamespaceInfo struct{ Name string } }
		}
		getJSON(t, server.UIAddress()+"/api/v1/namespaces", &listed)
		var names []string
		for _, namespace := range listed.Namespaces {
			names = append(names, namespace.NamespaceInfo.Name)
		}
		require.Contains(t, names, "orderferry")
		var settings struct {
			DefaultNamespace                     string
			DisableNewsFetch, NotifyOnNewVersion bool
		}
		getJSON(t, server.UIAddress()+"/api/v1/settings", &settings)
		require.Equal(t, "orderferry", settings.DefaultNamespace)
		require.True(t, settings.DisableNewsFetch)
		require.False(t, settings.NotifyOnNewVersion)
	})
	t.Run("lets its pages talk to nobody else", func(t *testing.T) {
		response, _ := get(t, server.UIAddress()+"/")
		require.Contains(t, strings.Join(response.Header.Values("Content-Security-Policy"), "; "), "connect-src 'self'")
	})
	t.Run("answers to no other name", func(t *testing.T) {
		for name, status := range map[string]int{
			"localhost:8233": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:8233": http.StatusOK, "[::1]": http.StatusOK,
			"evil.example:8233": http.StatusForbidden, "192.0.2.1": http.StatusForbidden, "localhost.evil.example": http.StatusForbidden,
		} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.UIAddress()+"/api/v1/settings", nil)
			require.NoError(t, err)
			request.Host = name
			response, _ := do(t, request)
			require.Equal(t, status, response.StatusCode, name)
		}
	})
	t.Run("takes no orders from other sites", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
			server.UIAddress()+"/api/v1/namespaces/orderferry/workflows/w/terminate", strings.NewReader("{}"))
		require.NoError(t, err)
		request.Header.Set("Sec-Fetch-Site", "cross-site")
		request.Header.Set("Origin", "https://evil.example")
		response, body := do(t, request)
		require.Contains(t, []int{http.StatusForbidden, http.StatusBadRequest}, response.StatusCode, string(body))
		require.NotContains(t, string(body), "workflow", "it got as far as the server")
	})
}

func TestStartSaysThatAPortIsTaken(t *testing.T) {
	_, taken := listen(t)
	for name, cfg := range map[string]temporal.Config{
		"frontend": {FrontendPort: taken},
		"Web UI":   {UIPort: taken},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.File = filepath.Join(t.TempDir(), "temporal.db")
			_, err := temporal.Start(t.Context(), cfg)
			require.ErrorContains(t, err, "address already in use")
		})
	}
}

func TestStopFreesThePortsAtOnceEvenWhileClientsWait(t *testing.T) {
	server := startServer(t, temporal.Config{File: filepath.Join(t.TempDir(), "temporal.db")})
	c := dial(t, server, "default")
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{TaskQueue: "nobody"}, "never")
	require.NoError(t, err)
	waiting := make(chan struct{})
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer close(ended)
		close(waiting)
		_ = run.Get(ctx, nil)
	}()
	<-waiting
	began := time.Now()
	server.Stop()
	require.Less(t, time.Since(began), 15*time.Second)
	cancel()
	<-ended
	for _, address := range []string{server.Address(), strings.TrimPrefix(server.UIAddress(), "http://")} {
		listener, err := net.Listen("tcp4", address)
		require.NoError(t, err)
		require.NoError(t, listener.Close())
	}
}

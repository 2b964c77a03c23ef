package temporal

import (
	"fmt"
	"net"
	"net/http"
	"time"

	"go.temporal.io/sdk/converter"

	"github.com/yunshu/yunshu/workers"
)

// startCodec serves the decoding of payloads on loopback, to the Web UI's own pages only.
func (s *Server) startCodec(keys string) (string, error) {
	codec, err := workers.NewCodec(keys)
	if err != nil {
		return "", err
	}
	l, err := net.Listen("tcp", at(0))
	if err != nil {
		return "", fmt.Errorf("listen for the codec: %w", err)
	}
	s.codec = &http.Server{Handler: onlyFrom(s.UI, converter.NewPayloadCodecHTTPHandler(codec)), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.codec.Serve(l) }() // it returns when it is closed
	return "http://" + l.Addr().String(), nil
}

// onlyFrom answers only pages of one origin: the browser guards what the codec decodes.
func onlyFrom(origin string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Origin") != origin {
			http.Error(w, "only the Temporal Web UI may ask", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Headers", "content-type, x-namespace, authorization")
		h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Vary", "Origin")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

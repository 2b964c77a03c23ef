// Package temporal gives tests a real Temporal server: the one at YUNSHU_TEST_TEMPORAL_ADDRESS, or one that bin/yunshu-dev
// runs as long as the tests do.
package temporal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/yunshu/yunshu/models"
)

// Namespace makes a namespace of the test's own and returns where it is.
func Namespace(t testing.TB) (address, namespace string) {
	t.Helper()
	address, err := shared()
	require.NoError(t, err)
	namespace = "t-" + models.NewID().String()
	c, err := client.NewNamespaceClient(client.Options{HostPort: address, Logger: silent{}})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Register(t.Context(), &workflowservice.RegisterNamespaceRequest{Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour)}))
	w, err := client.Dial(client.Options{HostPort: address, Namespace: namespace, Logger: silent{}})
	require.NoError(t, err)
	defer w.Close()
	// The server's services learn of a namespace by and by; there is nothing to wait on but trying.
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := w.WorkflowService().ListWorkflowExecutions(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace})
		return err == nil
	}, 30*time.Second, 50*time.Millisecond)
	return address, namespace
}

// shared starts the server once for a test process. It ends when this process does: its standard input is ours.
var shared = sync.OnceValues(func() (string, error) {
	if address := os.Getenv("YUNSHU_TEST_TEMPORAL_ADDRESS"); address != "" {
		return address, nil
	}
	_, file, _, _ := runtime.Caller(0)
	binary := filepath.Join(filepath.Dir(file), "..", "..", "bin", "yunshu-dev")
	if _, err := os.Stat(binary); err != nil {
		return "", fmt.Errorf("there is no Temporal to test against: run make build, which builds bin/yunshu-dev, or name one in YUNSHU_TEST_TEMPORAL_ADDRESS")
	}
	cmd := exec.Command(binary, "temporal")
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	keep.Store(&in)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("start Temporal: %w", err)
	}
	_, rest, _ := strings.Cut(line, "grpc=")
	address, _, _ := strings.Cut(rest, " ")
	return strings.TrimSpace(address), nil
})

// keep holds the server's standard input open.
var keep atomic.Pointer[io.WriteCloser]

// silent is a Temporal logger that says nothing.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Info(string, ...any)  {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}

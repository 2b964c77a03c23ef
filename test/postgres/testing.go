package postgres

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Main runs a package's tests and then stops the server that they started, if they did.
func Main(m *testing.M) {
	code := m.Run()
	shared.stop()
	os.Exit(code)
}

// New returns the address of a database of the test's own, made from a template that migrate filled once, and drops
// it when the test ends. It uses the server at YUNSHU_TEST_DATABASE_URL, or starts one for the whole package.
func New(t testing.TB, template string, migrate func(ctx context.Context, dsn string) error) string {
	t.Helper()
	admin, err := shared.address()
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background() // the clean-up outlives the test's own context
	from, err := shared.template(ctx, admin, template, migrate)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("t_%d_%d", os.Getpid(), serial.Add(1))
	run := func(sql string) error { return execute(ctx, admin, sql) }
	if err := run(fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, from)); err != nil {
		t.Fatalf("make a database for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := run(fmt.Sprintf("DROP DATABASE %s WITH (FORCE)", name)); err != nil {
			t.Errorf("drop the test's database: %v", err)
		}
	})
	return withDatabase(admin, name)
}

var (
	shared server
	serial atomic.Int64
)

// server is the one server of a test process.
type server struct {
	once sync.Once
	dsn  string
	err  error
	own  *Server
	dir  string

	mu        sync.Mutex
	templates map[string]error
}

func (s *server) address() (string, error) {
	s.once.Do(func() {
		if s.dsn = os.Getenv("YUNSHU_TEST_DATABASE_URL"); s.dsn != "" {
			return
		}
		if s.dir, s.err = os.MkdirTemp("", "yunshu-postgres-"); s.err != nil {
			return
		}
		if s.err = os.Chmod(s.dir, 0o755); s.err != nil {
			return
		}
		if s.own, s.err = Start(context.Background(), Options{Dir: s.dir + "/data"}); s.err == nil {
			s.dsn = s.own.DSN("postgres")
		}
	})
	return s.dsn, s.err
}

func (s *server) stop() {
	if s.own != nil {
		s.own.Stop()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir) // a temporary directory
	}
}

// template makes the template database once in this process. Each process has its own, so that none meets another's
// older schema.
func (s *server) template(ctx context.Context, admin, name string, migrate func(context.Context, string) error) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := sha256.Sum256([]byte(name))
	database := fmt.Sprintf("template_%d_%s", os.Getpid(), hex.EncodeToString(sum[:4]))
	if err, made := s.templates[database]; made {
		return database, err
	}
	err := execute(ctx, admin, "CREATE DATABASE "+database)
	if err == nil {
		err = migrate(ctx, withDatabase(admin, database))
	}
	if s.templates == nil {
		s.templates = map[string]error{}
	}
	s.templates[database] = err
	return database, err
}

func execute(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

// As is the same database for another role: the gateway does not run as the owner of its tables.
func As(dsn, role string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn // it was good enough to connect with
	}
	u.User = url.User(role)
	return u.String()
}

// GatewayRole is the role that tests give the gateway.
const GatewayRole = "yunshu_gateway"

func withDatabase(dsn, database string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return dsn // it was good enough to connect with
	}
	u.Path = "/" + database
	return u.String()
}

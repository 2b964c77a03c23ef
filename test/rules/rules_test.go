// Package rules keeps the doors of the house: who may link what.
package rules

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/yunshu/yunshu/"

// deps lists everything that a package links.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", module+pkg).Output()
	require.NoError(t, err)
	return strings.Fields(string(out))
}

// A process or package and what must not be in it, by the beginning of the import path.
var forbidden = map[string][]string{
	"cmd/worker":           {"gorm.io/", "github.com/jackc/", "github.com/lib/pq", "github.com/gin-gonic/", "github.com/danielgtaylor/", module + "api", module + "workflows"},
	"activities/baremetal": {"gorm.io/", "github.com/jackc/", module + "api", module + "workflows", module + "workers"},
	"vault":                {"gorm.io/", "github.com/jackc/", "go.temporal.io/", module + "api", module + "models"},
	"workers/region":       {"gorm.io/", "github.com/jackc/", module + "api", module + "workflows"},
	"workflows":            {"gorm.io/", "github.com/jackc/", module + "api", module + "workers", "github.com/vmware/", "github.com/bmc-toolbox/"},
	"activities/contract":  {"gorm.io/", "github.com/jackc/", module + "api", module + "workflows", "github.com/vmware/", "github.com/bmc-toolbox/"},
	"models":               {"gorm.io/", "github.com/jackc/", "go.temporal.io/", module + "api", module + "activities"},
	"cmd/yunshu":           {"gorm.io/", "github.com/jackc/", "go.temporal.io/", module + "api", module + "models"},
}

func TestNobodyLinksWhatTheyMustNotKnow(t *testing.T) {
	t.Parallel()
	for pkg, prefixes := range forbidden {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, dep := range deps(t, pkg) {
				for _, prefix := range prefixes {
					require.False(t, strings.HasPrefix(dep, prefix), "%s links %s", pkg, dep)
				}
			}
		})
	}
}

// SQL is only where the database's rooms are.
func TestOnlyTheGatewaysRoomsKnowTheDatabase(t *testing.T) {
	t.Parallel()
	allowed := []string{"api", "cmd/gateway", "test/", "activities/gateway"}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, module+"...").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		for _, dep := range fields[1:] {
			if !strings.HasPrefix(dep, "github.com/jackc/") && !strings.HasPrefix(dep, "gorm.io/") && dep != module+"api/store" {
				continue
			}
			ok := false
			for _, a := range allowed {
				ok = ok || strings.HasPrefix(pkg, a)
			}
			require.True(t, ok, "%s imports %s", pkg, dep)
		}
	}
}

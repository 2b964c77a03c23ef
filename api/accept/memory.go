package accept

import (
	"sync"

	"github.com/jackc/pgx/v5"
)

// question is the part of a create that names things which rarely change.
type question struct{ tenant, region, group, image, flavor, subnet string }

func (c *creation) question() question {
	return question{c.Tenant, c.Region, c.Group, c.Image, c.Flavor, c.Subnet}
}

// memory keeps what names meant at one version of the catalogue. Whoever relies on it reads the version in the
// transaction that does, so what is remembered is never older than what a look into the tables would have said.
type memory struct {
	mu      sync.Mutex
	version int64
	answers map[question]named
}

// most bounds the memory; beyond it, it starts anew.
const most = 20_000

// recall fills in what the creates name, and returns the version at which that was true. It reports whether all of it
// is known. Machines to keep away from are not remembered: they move. Nor is a tenant to those who do not see it, or the
// quicker answer would tell them that there is one.
func (m *memory) recall(cs []*creation, sees func(Request, *named) bool) (version int64, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range cs {
		n, ok := m.answers[c.question()]
		if !ok || len(c.Placement.AntiAffinity) > 0 || !sees(c.Request, &n) {
			return 0, false
		}
		c.named = n
	}
	return m.version, true
}

// learn keeps what the creates name at a version of the catalogue. What names nothing is not kept, so that nobody can
// fill the memory with nonsense.
func (m *memory) learn(version int64, cs []*creation) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if version < m.version {
		return
	}
	if version > m.version || len(m.answers) > most {
		m.version, m.answers = version, map[question]named{}
	}
	for _, c := range cs {
		if c.complete() {
			m.answers[c.question()] = c.named
		}
	}
}

const catalogueVersion = `SELECT version FROM catalogue WHERE only_row`

func queueVersion(b *pgx.Batch) *int64 {
	version := new(int64)
	b.Queue(catalogueVersion).QueryRow(func(row pgx.Row) error { return row.Scan(version) })
	return version
}

package api

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestOneKeyMakesOneOfEverything(t *testing.T) {
	t.Parallel()
	c := newCloud(t)
	for path, table := range map[string]string{
		"/v1/regions": "regions", "/v1/racks": "racks", "/v1/groups": "groups", "/v1/images": "images", "/v1/flavors": "flavors", "/v1/subnets": "subnets",
		"/v1/ip-addresses": "ip_addresses", "/v1/vms": "vms", "/v1/leak-checks": "operations WHERE kind = 'leak.check'", "/v1/regions/tw/import": "operations WHERE kind = 'region.import' AND state = 'accepted'",
	} {
		t.Run(path, func(t *testing.T) {
			body := map[string]any{
				"/v1/regions": M{"name": "de"}, "/v1/racks": M{"region": "tw", "name": "r9"}, "/v1/groups": M{"region": "tw", "name": "g9"},
				"/v1/images": M{"name": "i9"}, "/v1/flavors": M{"name": "f9", "vcpu": 1, "memory_mib": 4, "storage_gib": 1},
				"/v1/subnets": M{"region": "tw", "name": "s9", "cidr": "10.9.0.0/24", "network": "other"}, "/v1/ip-addresses": M{"subnet": c.lan.ID, "tenant": "acme"},
				"/v1/vms": c.vm("web"), "/v1/leak-checks": M{},
			}[path]
			before := c.count(table)
			answers := make([]answer, 6)
			var all sync.WaitGroup
			for i := range answers {
				all.Go(func() { answers[i] = c.call(c.admin, "POST", path, body, "Idempotency-Key", "key-"+path) })
			}
			all.Wait()
			for _, a := range answers {
				require.Less(t, a.Status, 300, "%s", a.Body)
				require.JSONEq(t, string(answers[0].Body), string(a.Body))
				require.Equal(t, answers[0].Header.Get("Location"), a.Header.Get("Location"))
			}
			require.Equal(t, before+1, c.count(table))
			c.call(c.admin, "POST", "/v1/racks", M{"region": "tw", "name": "other"}, "Idempotency-Key", "key-"+path).problem(models.CodeKeyReused)
		})
	}
	c.requireBalance()
}

package accept_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/yunshu/yunshu/models"
)

func TestWhatIsRememberedIsNeverOlderThanTheCatalogue(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		code   models.Code
	}{
		"renamed tenant":  {`UPDATE tenants SET full_name = 'acme/prod' WHERE full_name = 'acme/dev'`, models.CodeNotFound},
		"cordoned region": {`UPDATE regions SET state = 'cordoned'`, models.CodeRegionNotReady},
		"image elsewhere": {`UPDATE images SET templates = '{}'`, models.CodeInvalid},
		"larger image":    {`UPDATE images SET min_storage_gib = 5000`, models.CodeInvalid},
		"foreign subnet": {`WITH other AS (INSERT INTO tenants (id, name, full_name, path) SELECT id, 'other', 'other', ARRAY[id] FROM gen_random_uuid() id RETURNING id)
			UPDATE subnets SET tenant_id = (SELECT id FROM other)`, models.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, shape{hosts: 3, vcpu: 80})
			for _, vm := range []string{"first", "second"} {
				_, err := w.CreateVM(t.Context(), w.create(vm))
				require.NoError(t, err)
			}
			w.exec(c.change)
			_, err := w.CreateVM(t.Context(), w.create("third"))
			require.True(t, models.IsCode(err, c.code), "%v", err)
			require.Equal(t, int64(2), w.count(`SELECT count(*) FROM vms`))
		})
	}
}

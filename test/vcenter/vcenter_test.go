package vcenter_test

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/view"
	"github.com/vmware/govmomi/vim25/mo"

	"github.com/yunshu/yunshu/test/vcenter"
)

func TestTheInventoryIsTheSameEachTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before []string
	for range 2 {
		s, err := vcenter.Start(t.Context(), vcenter.Options{Region: "tw", Password: "secret", TLSDir: dir, StateFile: dir + "/state"})
		require.NoError(t, err)
		c, err := s.Client(t.Context())
		require.NoError(t, err)
		v, err := view.NewManager(c.Client).CreateContainerView(t.Context(), c.ServiceContent.RootFolder, []string{"HostSystem"}, true)
		require.NoError(t, err)
		var hosts []mo.HostSystem
		require.NoError(t, v.Retrieve(t.Context(), []string{"HostSystem"}, []string{"name", "summary.hardware"}, &hosts))
		var now []string
		for _, h := range hosts {
			now = append(now, h.Self.Value+" "+h.Name+" "+h.Summary.Hardware.Uuid)
		}
		require.Len(t, now, 48)
		if before != nil {
			require.ElementsMatch(t, before, now)
		}
		before = now
		for _, name := range vcenter.Networks {
			_, err := find.NewFinder(c.Client).Network(t.Context(), name)
			require.NoError(t, err)
		}
		s.Stop()
	}
}

func TestAWrongPasswordIsRefused(t *testing.T) {
	t.Parallel()
	s, err := vcenter.Start(t.Context(), vcenter.Options{Password: "secret", TLSDir: t.TempDir(), Hosts: 1})
	require.NoError(t, err)
	defer s.Stop()
	_, err = vcenter.Login(t.Context(), s.URL, url.UserPassword("yunshu@vsphere.local", "guess"), s.CAFile)
	require.Error(t, err)
}

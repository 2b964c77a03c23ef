package baremetal

import (
	"context"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// passwordLooks is how often a new password is tried: some BMCs answer first and take it over a few seconds later. It is less
// often than what locks an account.
const passwordLooks = 4

// SetPassword gives the BMC's account another password, and logs in with it. If an earlier attempt got that far already,
// the old one is refused and the new one is not, which is success.
func (a *Activities) SetPassword(ctx context.Context, in contract.BMPasswordInput) (contract.None, error) {
	ctx, cancel := context.WithTimeout(ctx, quickLimit)
	defer cancel()
	next := in.BMC
	next.Password = in.New
	renewed, err := a.target(next)
	if err != nil {
		return contract.None{}, crossing(err)
	}
	refused := a.quick(ctx, in.BMC, func(ctx context.Context, _ Target, bmc BMC) error {
		return bmc.SetPassword(ctx, renewed.Password)
	})
	if refused != nil && !models.IsCode(refused, models.CodeLoginRefused) {
		return contract.None{}, crossing(refused)
	}
	for look := 1; ; look++ {
		err = a.quick(ctx, next, func(context.Context, Target, BMC) error { return nil })
		if refused != nil || look == passwordLooks || !models.IsCode(err, models.CodeLoginRefused) || pause(ctx, a.options.Poll) != nil {
			break
		}
	}
	switch {
	case err == nil:
		return contract.None{}, nil
	case refused != nil && models.IsCode(err, models.CodeLoginRefused):
		return contract.None{}, crossing(refused) // neither is right; the one that should have been is what to mend
	case models.IsCode(err, models.CodeLoginRefused):
		return contract.None{}, crossing(renewed.Faultf(models.CodeTaskFailed, "took a new password for %s and then refused it. Set the password at the BMC itself, and give it here.", renewed.Username))
	}
	return contract.None{}, crossing(err)
}

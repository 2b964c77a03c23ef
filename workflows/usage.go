package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
)

// UsageWatch looks at the quotas and counts the day's use.
func (s Set) UsageWatch(ctx workflow.Context, _ contract.UsageInput) error {
	_, err := contract.UsageCount.Do(ctx, contract.Gateway, "look at the quotas", contract.None{})
	return err
}

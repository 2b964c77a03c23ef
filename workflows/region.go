package workflows

import (
	"encoding/json"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
)

const hostsPerPage = 200

// RegionImport reads a region's hypervisors page by page and records each page in the inventory.
func (s Set) RegionImport(ctx workflow.Context, in contract.RegionImportInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		var sum contract.Recorded
		page := contract.Page{Limit: hostsPerPage, Listing: r.op.ID}
		for {
			got, err := step(ctx, r, "read-hypervisors", contract.VMHypervisors, contract.VMQueue(in.Region), page)
			if err != nil {
				return err
			}
			done, err := step(ctx, r, "record", contract.RegionRecord, contract.Gateway,
				contract.RecordInput{OperationID: in.ID, Region: in.Region, Hypervisors: got.Hypervisors, Last: got.Next == ""})
			if err != nil {
				return err
			}
			sum.Added, sum.Changed, sum.Missing = sum.Added+done.Added, sum.Changed+done.Changed, sum.Missing+done.Missing
			if page.After = got.Next; got.Next == "" {
				break
			}
		}
		r.result, _ = json.Marshal(sum) //workflowcheck:ignore // a struct of numbers cannot fail, and always encodes the same
		return nil
	})
}

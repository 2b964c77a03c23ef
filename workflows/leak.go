package workflows

import (
	"encoding/json"
	"fmt"
	"slices"

	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

const (
	machinesPerPage = 500
	findingsKept    = 1000 // of a check that finds more, the rest adds nothing
)

// LeakCheck compares every region's machines with the database, in windows of ids, and then the database with itself.
func (s Set) LeakCheck(ctx workflow.Context, in contract.LeakCheckInput) error {
	return s.frame(ctx, in.Operation, func(ctx workflow.Context, r *run) error {
		all := []contract.Finding{}
		regions := slices.Clone(in.Regions)
		slices.Sort(regions)
		for _, region := range regions {
			found, err := r.compare(ctx, region)
			if err != nil {
				return err
			}
			all = append(all, found...)
		}
		books, err := step(ctx, r, "check-ledger", contract.LeakLedger, contract.Gateway, contract.None{})
		if err != nil {
			return err
		}
		all = append(all, books.Findings...)
		r.result, _ = json.Marshal(contract.Findings{Findings: all[:min(len(all), findingsKept)]}) //workflowcheck:ignore // a struct of texts cannot fail, and always encodes the same
		return nil
	})
}

// skippable is a step that may be left out rather than waited for.
func skippable(f *models.Fault) []models.Way {
	if !f.Code.Info().Retryable {
		return nil
	}
	return []models.Way{models.WaySkip}
}

// compare walks one region's machines. It is one step of the story, however many pages there are.
func (r *run) compare(ctx workflow.Context, region string) ([]contract.Finding, error) {
	var all []contract.Finding
	page := contract.Page{Limit: machinesPerPage, Listing: r.op.ID}
	for {
		got, left, err := stepOr(ctx, r, "list-"+region, contract.VMList, contract.VMQueue(region), page, skippable)
		if err != nil {
			return nil, err
		}
		if left != nil {
			return append(all, contract.Finding{Kind: "not_compared", Region: region, ResourceKind: "region",
				Message: fmt.Sprintf("The region %s was not compared: %s skipped it: %s", region, left.Actor, left.Reason)}), nil
		}
		found, err := step(ctx, r, "compare-"+region, contract.LeakCompare, contract.Gateway,
			contract.CompareInput{OperationID: r.op.ID, Region: region, After: page.After, Machines: got.Machines, Last: got.Next == ""})
		if err != nil {
			return nil, err
		}
		all = append(all, found.Findings...)
		if page.After = got.Next; got.Next == "" {
			return all, nil
		}
	}
}

package workflows

import (
	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"github.com/yunshu/yunshu/activities/contract"
	"github.com/yunshu/yunshu/models"
)

// Sweep finds operations whose workflow was terminated or timed out, and starts settling each.
func (s Set) Sweep(ctx workflow.Context, _ contract.SweepInput) error {
	page, err := contract.SweepFind.Do(ctx, contract.Gateway, "find lost operations", contract.None{})
	if err != nil {
		return err
	}
	for _, lost := range page.Lost {
		child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID:            lost.Operation.ID.String() + "/settle",
			WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
			ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
			StaticSummary:         "settle lost " + lost.Operation.Kind + " " + lost.Operation.ResourceName,
		})
		started := workflow.ExecuteChildWorkflow(child, contract.Settle.Name, lost).GetChildWorkflowExecution()
		if err := started.Get(ctx, nil); err != nil {
			// It is being settled already, or the next sweep tries again.
			workflow.GetLogger(ctx).Info("settling not started", "operation_id", lost.Operation.ID, "error", err)
		}
	}
	return nil
}

// Settle puts one lost operation right: what a create may have left is removed, what a delete wanted is done, and of
// anything else the gateway is told what is so.
func (s Set) Settle(ctx workflow.Context, in contract.Lost) error {
	op, queue := in.Operation, contract.VMQueue(in.Operation.Region)
	report := contract.Report{OperationID: op.ID, Seq: in.Seq + 1000, State: models.OperationFailed,
		Fault: models.Faultf(models.CodeWorkflowLost, "The workflow of this operation was terminated or timed out. What it had begun was put right.")}
	switch op.Kind {
	case contract.VMProvision.Name, contract.VMDelete.Name:
		if err := patiently(func() error {
			_, err := contract.VMDestroy.Do(ctx, queue, "settle: destroy "+op.ResourceName, vmRef(op))
			return err
		}); err != nil {
			return err
		}
		report.VM = &contract.VMFacts{State: models.VMGone}
		if op.Kind == contract.VMDelete.Name {
			report.State, report.Fault = models.OperationSucceeded, nil
		}
	case contract.VMPower.Name, contract.VMResize.Name, contract.VMMigrate.Name:
		if err := patiently(func() error {
			left, err := contract.VMRead.Do(ctx, queue, "settle: read "+op.ResourceName, vmRef(op))
			report.VM = failedIfLost(left)
			return err
		}); err != nil {
			return err
		}
	default:
		if err := settleBaremetal(ctx, op, &report); err != nil {
			return err
		}
	}
	_, err := contract.OperationReport.Do(ctx, contract.Gateway, "report settled", report)
	return err
}

// patiently repeats what no worker picked up.
func patiently(do func() error) error {
	for {
		if err := do(); !neverPickedUp(err) {
			return err
		}
	}
}

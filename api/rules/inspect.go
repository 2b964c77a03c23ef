package rules

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
)

// facts are the names that a rule may begin with.
var facts = func() (names []string) {
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Machine]()) {
		names = append(names, f.Tag.Get("expr"))
	}
	return names
}()

// inspector walks through a rule before it is compiled. It notes the facts that the rule looks at, and refuses what the
// language can, but a rule need not: whatever could take long, or fail for some machines.
type inspector struct {
	uses    []string
	refusal error
}

// Visit looks at one node. The innermost come first, and so does their refusal.
func (i *inspector) Visit(node *ast.Node) {
	if why := i.look(*node); why != "" && i.refusal == nil {
		i.refusal = &file.Error{Location: (*node).Location(), Message: why}
	}
}

func (i *inspector) look(node ast.Node) (refusal string) {
	switch n := node.(type) {
	case *ast.IdentifierNode:
		if strings.HasPrefix(n.Value, "$") {
			return "there is no fact or function named " + n.Value
		}
		if slices.Contains(facts, n.Value) {
			i.uses = append(i.uses, n.Value)
		}
	case *ast.BinaryNode:
		return operator(n)
	case *ast.MemberNode:
		if _, named := n.Property.(*ast.StringNode); !named {
			return `only a constant name may stand in brackets, such as labels["team"]`
		}
	case *ast.BuiltinNode:
		if !slices.Contains(functions, n.Name) {
			return fmt.Sprintf("there is no function %s; there are %s", n.Name, strings.Join(functions, ", "))
		}
		if n.Name == "count" && len(n.Arguments) == 1 {
			return `count needs a condition, such as count(disk.kinds, # == "ssd"); len counts all`
		}
	case *ast.PredicateNode:
		if ast.Find(n.Node, isPredicate) != nil {
			return "a condition on the items of a list cannot have another one within"
		}
	case *ast.CallNode:
		return "only these functions may be called: " + strings.Join(functions, ", ")
	case *ast.SliceNode, *ast.MapNode, *ast.VariableDeclaratorNode, *ast.SequenceNode:
		return "a rule compares facts; it has no variables, maps, slices or steps"
	}
	return ""
}

// isPredicate finds conditions on the items of a list. Within one another, each would multiply what the rule costs.
func isPredicate(node ast.Node) bool {
	_, yes := node.(*ast.PredicateNode)
	return yes
}

// operator refuses those that make long lists, and patterns that are not known beforehand.
func operator(n *ast.BinaryNode) (refusal string) {
	switch n.Operator {
	case "..":
		return "a rule has no ranges; compare with >= and <="
	case "%", "**", "^", "??":
		return "the operator " + n.Operator + " is not for rules"
	case "matches":
		if _, constant := n.Right.(*ast.StringNode); !constant {
			return "the pattern of matches must be a constant text"
		}
	}
	return ""
}

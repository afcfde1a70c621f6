package relay

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Kit is a SKU that is shipped as other SKUs. Components are SKUs, and so go
// through aliases; none of them may be a kit itself.
type Kit struct {
	SKU        SKU
	Cart       ConnectionName // "" for every cart of the merchant
	Components []Component    // none: the kit is known but not described yet, and its orders are held
}

// Component is what one unit of a kit holds of a SKU.
type Component struct {
	SKU   SKU
	Units int64 // 1 to MaxComponentUnits
}

// MaxComponentUnits bounds what a kit may hold of one SKU, so that an order of
// any number of kits can be counted.
const MaxComponentUnits = 1_000_000

// Check refuses a kit that no unit of could be put together.
func (k Kit) Check() error {
	if trim(k.SKU) == "" {
		return errors.New("a kit without a SKU")
	}
	seen := make(map[SKU]bool, len(k.Components))
	for _, c := range k.Components {
		switch {
		case trim(c.SKU) == "":
			return fmt.Errorf("kit %s: a component without a SKU", k.SKU)
		case c.Units < 1 || c.Units > MaxComponentUnits:
			return fmt.Errorf("kit %s: %d units of %s: want 1 to %d", k.SKU, c.Units, c.SKU, MaxComponentUnits)
		case seen[c.SKU]:
			return fmt.Errorf("kit %s: component %s is named twice", k.SKU, c.SKU)
		}
		seen[c.SKU] = true
	}
	return nil
}

// Contents tells the components in order of SKU: "1 x BOX, 2 x CUP". It is the
// same for kits of the same components.
func (k Kit) Contents() string {
	if len(k.Components) == 0 {
		return "(no components)"
	}
	list := slices.SortedFunc(slices.Values(k.Components), func(a, b Component) int { return cmp.Compare(a.SKU, b.SKU) })
	words := make([]string, len(list))
	for i, c := range list {
		words[i] = fmt.Sprintf("%d x %s", c.Units, c.SKU)
	}
	return strings.Join(words, ", ")
}

// NestedKit is a kit with a component that is a kit itself, at some cart. Such
// are refused: nobody could tell what of them has left or is in stock.
type NestedKit struct {
	Kit       Kit
	Component SKU
	// Path leads from the kit down through kits; back to where it began when they
	// hold each other.
	Path []SKU
}

// String names the kits: "GIFT holds SET, which is a kit itself: GIFT -> SET",
// "kits hold each other: GIFT -> SET -> GIFT".
func (n NestedKit) String() string {
	steps := make([]string, len(n.Path))
	for i, s := range n.Path {
		steps[i] = string(s)
	}
	path := strings.Join(steps, " -> ")
	if n.Path[0] == n.Path[len(n.Path)-1] {
		return "kits hold each other: " + path
	}
	return fmt.Sprintf("%s holds %s, which is a kit itself: %s", n.Kit.SKU, n.Component, path)
}

// NestedKits lists the components that are kits themselves, in the order of
// kits. A kit of all carts and one of a cart meet at that cart.
func NestedKits(kits []Kit) []NestedKit {
	w := kitWalk{kits: make(map[SKU][]Kit, len(kits))}
	for _, k := range kits {
		w.kits[k.SKU] = append(w.kits[k.SKU], k)
	}
	var out []NestedKit
	for _, k := range kits {
		for _, c := range k.Components {
			if len(w.inside(k, c.SKU)) == 0 {
				continue
			}
			w.seen = make(map[SKU]bool)
			path := w.back(k, c.SKU, k.SKU)
			if path == nil {
				path = []SKU{c.SKU}
			}
			out = append(out, NestedKit{Kit: k, Component: c.SKU, Path: append([]SKU{k.SKU}, path...)})
		}
	}
	return out
}

type kitWalk struct {
	kits map[SKU][]Kit
	seen map[SKU]bool
}

// inside returns the kits that a kit's component is, at the carts of the kit.
func (w kitWalk) inside(k Kit, component SKU) []Kit {
	var out []Kit
	for _, in := range w.kits[component] {
		if in.Cart == k.Cart || in.Cart == "" || k.Cart == "" {
			out = append(out, in)
		}
	}
	return out
}

// back finds a way from a kit's component down to a SKU; nil when there is none.
func (w kitWalk) back(k Kit, component, to SKU) []SKU {
	if component == to {
		return []SKU{to}
	}
	if w.seen[component] {
		return nil
	}
	w.seen[component] = true
	for _, in := range w.inside(k, component) {
		for _, c := range in.Components {
			if path := w.back(in, c.SKU, to); path != nil {
				return append([]SKU{component}, path...)
			}
		}
	}
	return nil
}

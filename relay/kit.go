package relay

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
	Units int64 // 1 or more
}

package relay

import "regexp"

var scientific = regexp.MustCompile(`^[+-]?(?:[0-9]+[eE]\+|(?:[0-9]+[.,][0-9]*|[.,][0-9]+)[eE][+-]?)[0-9]+$`)

// Scientific reports whether a code reads as programs save a long number: 9.4001E+21,
// 94.001e20, 9E+21. Its digits are lost. 12E5, without a point and a sign, is a code
// like any other, and so is 12E-5, since no identifier is a number below 1.
func Scientific(code string) bool { return scientific.MatchString(code) }

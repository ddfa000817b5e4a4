package main

import "regexp"

// meant lists the differences that Chronik wants, with the reason: a difference whose label and path match is one.
var meant = []struct {
	label, path *regexp.Regexp
	why         string
}{}

func why(d *difference) string {
	for _, m := range meant {
		if m.label.MatchString(d.label) && m.path.MatchString(d.path) {
			return m.why
		}
	}
	return ""
}

module github.com/wicketgate/wicketgate/bench

go 1.26.0

require (
	github.com/wicketgate/wicketgate v0.0.0
	golang.org/x/sys v0.48.0
)

replace github.com/wicketgate/wicketgate => ..

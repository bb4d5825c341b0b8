module github.com/wicketgate/wicketgate/e2e/peers

go 1.26.0

require (
	github.com/summerwind/h2spec v2.2.1+incompatible
	github.com/wicketgate/wicketgate v0.0.0
	golang.org/x/net v0.60.0
)

require (
	github.com/fatih/color v1.19.0 // indirect
	github.com/mattn/go-colorable v0.1.14 // indirect
	github.com/mattn/go-isatty v0.0.20 // indirect
	golang.org/x/sys v0.48.0 // indirect
	golang.org/x/text v0.42.0 // indirect
)

replace github.com/wicketgate/wicketgate => ../..

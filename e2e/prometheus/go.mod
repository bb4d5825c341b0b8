module github.com/wicketgate/wicketgate/e2e/prometheus

go 1.26.0

require github.com/wicketgate/wicketgate v0.0.0

replace github.com/wicketgate/wicketgate => ../..

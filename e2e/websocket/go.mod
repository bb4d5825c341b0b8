module github.com/wicketgate/wicketgate/e2e/websocket

go 1.26.0

require github.com/wicketgate/wicketgate v0.0.0

require github.com/coder/websocket v1.8.15

replace github.com/wicketgate/wicketgate => ../..

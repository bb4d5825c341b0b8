// Package grpc runs real gRPC clients and services through the gate. It is a
// module of its own so that the product's has no word of gRPC.
package grpc

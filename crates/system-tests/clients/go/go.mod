module weir/clients/go

go 1.23

require (
	github.com/mostynb/go-grpc-compression v1.2.3
	google.golang.org/grpc v1.64.0
	google.golang.org/protobuf v1.36.10
)

require (
	github.com/klauspost/compress v1.17.8 // indirect
	golang.org/x/net v0.22.0 // indirect
	golang.org/x/sys v0.18.0 // indirect
	golang.org/x/text v0.14.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240318140521-94a12d6c2237 // indirect
)

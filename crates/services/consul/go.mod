module weir/services/consul

go 1.25.5

exclude (
	github.com/hashicorp/go-msgpack v1.1.5
	github.com/hashicorp/go-msgpack v1.1.6
)

require github.com/hashicorp/consul v1.22.3

module peers/rueidislock

go 1.26.0

require (
	github.com/redis/rueidis v1.0.79
	github.com/redis/rueidis/rueidislock v1.0.79
	peers v0.0.0
)

replace peers => ../go

// redsync on go-redis.
package main

import (
	"errors"
	"time"

	"github.com/go-redsync/redsync/v4"
	redis "github.com/go-redsync/redsync/v4/redis"
	pool "github.com/go-redsync/redsync/v4/redis/goredis/v9"
	goredis "github.com/redis/go-redis/v9"

	"peers/converse"
)

type locks struct {
	redsync *redsync.Redsync
	clients []*goredis.Client
}

func create(addresses []string) (converse.Locks, error) {
	var mine locks
	var pools []redis.Pool
	for _, address := range addresses {
		client := goredis.NewClient(&goredis.Options{Addr: address})
		mine.clients = append(mine.clients, client)
		pools = append(pools, pool.NewPool(client))
	}
	mine.redsync = redsync.New(pools...)
	return &mine, nil
}

func (mine *locks) Acquire(name string) (func(), error) {
	mutex := mine.redsync.NewMutex(name)
	return func() { converse.Must(mutex.Unlock()) }, mutex.Lock()
}

func (mine *locks) Hold(string, time.Duration) error {
	return errors.New("renews nothing by itself")
}

func (mine *locks) Close() {
	for _, client := range mine.clients {
		client.Close()
	}
}

func main() {
	converse.Run(create)
}

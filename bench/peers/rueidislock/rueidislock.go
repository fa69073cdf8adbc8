// rueidislock with one key, as its documentation has it for one server. Waits by client-side caching. What releases
// returns before the server knows.
package main

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"
	"github.com/redis/rueidis/rueidislock"

	"peers/converse"
)

type locks struct {
	locker rueidislock.Locker
	option rueidislock.LockerOption
	held   []context.Context
}

func create(addresses []string) (converse.Locks, error) {
	if len(addresses) > 1 {
		return nil, errors.New("works on one server or cluster")
	}
	option := rueidislock.LockerOption{
		ClientOption: rueidis.ClientOption{InitAddress: addresses},
		KeyMajority:  1,
	}
	locker, err := rueidislock.NewLocker(option)
	return &locks{locker: locker, option: option}, err
}

func (mine *locks) Acquire(name string) (func(), error) {
	_, release, err := mine.locker.WithContext(context.Background(), name)
	return release, err
}

// The lease is the locker's.
func (mine *locks) Hold(name string, ttl time.Duration) error {
	if mine.option.KeyValidity != ttl {
		mine.option.KeyValidity = ttl
		mine.locker = converse.Must(rueidislock.NewLocker(mine.option))
	}
	held, _, err := mine.locker.WithContext(context.Background(), name)
	mine.held = append(mine.held, held)
	return err
}

func (mine *locks) Close() {
	mine.locker.Close()
}

func main() {
	converse.Run(create)
}

// Package converse speaks the benchmark's protocol (bench/peers/README.md) for a contestant in Go. Callers are
// goroutines.
package converse

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Locks is what a contestant makes of the nodes' addresses. Acquire returns what releases.
type Locks interface {
	Acquire(name string) (func(), error)
	Hold(name string, ttl time.Duration) error
	Close()
}

func now() int64 {
	var time unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &time)
	return time.Nano()
}

// Must ends the program with the error, if there is one.
func Must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	return value
}

func runPairs(locks Locks, seconds float64) string {
	var acquire []int64
	start := now()
	before := start
	for before < start+int64(seconds*1e9) {
		release := Must(locks.Acquire("peer"))
		acquire = append(acquire, now()-before)
		release()
		before = now()
	}
	sort.Slice(acquire, func(a, b int) bool { return acquire[a] < acquire[b] })
	count := len(acquire)
	return fmt.Sprintf("%d %.6f %.1f %.1f", count, float64(before-start)/1e9,
		float64(acquire[count/2])/1e3, float64(acquire[count*99/100])/1e3)
}

func runCallers(count int, caller func(index int)) {
	var group sync.WaitGroup
	for index := 1; index <= count; index++ {
		group.Add(1)
		go func() {
			defer group.Done()
			caller(index)
		}()
	}
	group.Wait()
}

func runMany(locks Locks, count int, seconds float64) string {
	var pairs atomic.Int64
	start := now()
	runCallers(count, func(index int) {
		name := fmt.Sprintf("peer:%d", index)
		for now() < start+int64(seconds*1e9) {
			Must(locks.Acquire(name))()
			pairs.Add(1)
		}
	})
	return fmt.Sprintf("%d %.6f", pairs.Load(), float64(now()-start)/1e9)
}

func runContest(make func() Locks, shared Locks, count int, until int64, apart bool) string {
	var lock sync.Mutex
	var grants []string
	runCallers(count, func(index int) {
		mine := shared
		if apart {
			mine = make()
			defer mine.Close()
		}
		for asked := now(); asked < until; {
			release, err := mine.Acquire("peer")
			if err == nil {
				acquired := now()
				lock.Lock()
				grants = append(grants, fmt.Sprintf("%d %d %d %d", index, asked, acquired, now()))
				lock.Unlock()
				release()
				asked = now()
			} else if now() >= until {
				break
			}
		}
	})
	return strings.Join(grants, " ")
}

func runHold(locks Locks, count int, ttl float64) string {
	start := now()
	for index := 1; index <= count; index++ {
		err := locks.Hold(fmt.Sprintf("held:%d", index), time.Duration(ttl*1e9))
		if err != nil {
			return "no: " + err.Error()
		}
	}
	seconds := float64(now()-start) / 1e9
	debug.FreeOSMemory()
	return fmt.Sprintf("%d %.6f", count, seconds)
}

func answer(make func() Locks, shared Locks, line string) string {
	var count int
	var seconds float64
	var until int64
	switch verb, rest, _ := strings.Cut(line, " "); verb {
	case "pairs":
		fmt.Sscan(rest, &seconds)
		return runPairs(shared, seconds)
	case "many":
		fmt.Sscan(rest, &count, &seconds)
		return runMany(shared, count, seconds)
	case "contend":
		fmt.Sscan(rest, &count, &until)
		return runContest(make, shared, count, until, strings.HasSuffix(rest, " apart"))
	case "hold":
		fmt.Sscan(rest, &count, &seconds)
		return runHold(shared, count, seconds)
	}
	Must(shared.Acquire("peer"))
	return "held"
}

// Run answers line by line until the input ends. The program's arguments are the nodes' ports.
func Run(create func(addresses []string) (Locks, error)) {
	var addresses []string
	for _, port := range os.Args[1:] {
		addresses = append(addresses, "127.0.0.1:"+port)
	}
	shared, err := create(addresses)
	input := bufio.NewScanner(os.Stdin)
	for input.Scan() {
		if err != nil {
			fmt.Println("no:", err)
			continue
		}
		fmt.Println(answer(func() Locks { return Must(create(addresses)) }, shared, input.Text()))
	}
}

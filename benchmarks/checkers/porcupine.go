// Times the Go checker porcupine on histories that our readers wrote: one JSON object a line on standard input,
// one answer a line on standard output. Only the check is timed, the best of some repeats counts.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"math"
	"os"
	"runtime"
	"time"

	"github.com/anishathalye/porcupine"
)

type call struct {
	Client  int    `json:"client"`
	Start   int64  `json:"start"`
	End     *int64 `json:"end"` // null: nobody knows whether it happened
	Op      string `json:"op"`
	Key     string `json:"key"`
	Text    string `json:"text"`  // written, or read
	Value   int    `json:"value"` // written, or read; -1 is none
	Expect  int    `json:"expect"`
	Swapped bool   `json:"swapped"`
}

type history struct {
	Name    string  `json:"name"`
	Model   string  `json:"model"`
	Repeats int     `json:"repeats"`
	Enough  float64 `json:"enough"`  // no other repeat after so many seconds
	Seconds float64 `json:"seconds"` // give up after so long
	Calls   []call  `json:"calls"`
}

type answer struct {
	Name    string  `json:"name"`
	Verdict string  `json:"verdict"`
	Seconds float64 `json:"seconds"`
	Bytes   uint64  `json:"bytes"`
}

// Without a hash of the state, porcupine compares a state with all that it met after the same operations:
// minutes instead of milliseconds where appends give many. A random seed only moves the buckets.
var seed = maphash.MakeSeed()

func register() porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return -1 },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			now, asked, unknown := state.(int), input.(*call), output.(bool)
			switch asked.Op {
			case "read":
				return unknown || now == asked.Value, now
			case "write":
				return true, asked.Value
			}
			there := now == asked.Expect
			if there {
				now = asked.Value
			}
			return unknown || there == asked.Swapped, now
		},
	}
}

func step(now string, asked *call, unknown bool) (bool, string) {
	switch asked.Op {
	case "get":
		return unknown || now == asked.Text, now
	case "put":
		return true, asked.Text
	}
	return true, now + asked.Text
}

func kv() porcupine.Model {
	return porcupine.Model{
		Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
			place := map[string]int{}
			var parts [][]porcupine.Operation
			for _, one := range all {
				key := one.Input.(*call).Key
				at, known := place[key]
				if !known {
					at = len(parts)
					place[key] = at
					parts = append(parts, nil)
				}
				parts[at] = append(parts[at], one)
			}
			return parts
		},
		Init: func() interface{} { return "" },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			ok, now := step(state.(string), input.(*call), output.(bool))
			return ok, now
		},
		Hash: func(state interface{}) uint64 { return maphash.String(seed, state.(string)) },
	}
}

func whole() porcupine.Model {
	return porcupine.Model{
		Init: func() interface{} { return map[string]string{} },
		Step: func(state, input, output interface{}) (bool, interface{}) {
			now, asked := state.(map[string]string), input.(*call)
			ok, after := step(now[asked.Key], asked, output.(bool))
			if !ok || after == now[asked.Key] {
				return ok, now
			}
			changed := maps.Clone(now)
			changed[asked.Key] = after
			return true, changed
		},
		Equal: func(one, other interface{}) bool {
			return maps.Equal(one.(map[string]string), other.(map[string]string))
		},
		Hash: func(state interface{}) uint64 {
			var all uint64
			for key, text := range state.(map[string]string) {
				all ^= maphash.String(seed, key) * maphash.String(seed, text)
			}
			return all
		},
	}
}

func run(one history) answer {
	model := map[string]func() porcupine.Model{"cas-register": register, "kv": kv, "kv-whole": whole}[one.Model]()
	operations := make([]porcupine.Operation, len(one.Calls))
	for at := range one.Calls {
		each := &one.Calls[at]
		end, unknown := int64(math.MaxInt64), true
		if each.End != nil {
			end, unknown = *each.End, false
		}
		operations[at] = porcupine.Operation{ClientId: each.Client, Input: each, Call: each.Start, Output: unknown, Return: end}
	}
	limit := time.Duration(one.Seconds * float64(time.Second))
	enough := time.Duration(one.Enough * float64(time.Second))
	best := answer{Name: one.Name, Seconds: math.Inf(1)}
	runtime.GC()
	begun := time.Now()
	for repeat := 0; repeat < one.Repeats && (repeat == 0 || time.Since(begun) < enough); repeat++ {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		started := time.Now()
		result := porcupine.CheckOperationsTimeout(model, operations, limit)
		took := time.Since(started).Seconds()
		runtime.ReadMemStats(&after)
		best.Seconds = min(best.Seconds, took)
		best.Bytes = after.TotalAlloc - before.TotalAlloc
		best.Verdict = map[porcupine.CheckResult]string{
			porcupine.Ok: "valid", porcupine.Illegal: "invalid", porcupine.Unknown: "unknown",
		}[result]
	}
	return best
}

func main() {
	lines := json.NewDecoder(bufio.NewReaderSize(os.Stdin, 1<<20))
	out := json.NewEncoder(os.Stdout)
	for lines.More() {
		var one history
		if err := lines.Decode(&one); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(run(one)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

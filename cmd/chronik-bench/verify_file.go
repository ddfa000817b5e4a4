package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// A verify file is JSON lines: an object that names a run, then an array for each span that was acknowledged in it:
// [partition, producer, sequence, offset, count]. Several runs may follow one another.
type runLine struct {
	Run        uint64          `json:"run"`
	Topic      string          `json:"topic"`
	Idempotent bool            `json:"idempotent"`
	Starts     map[int32]int64 `json:"starts"` // by partition: its end when the run began
}

// A verifyFile is written while the run goes on, so that it is of use when the bench dies too.
type verifyFile struct {
	mu     sync.Mutex
	file   *os.File
	out    *bufio.Writer
	settle func() // if set: calls span for what was acknowledged and is not here yet
	err    error  // the first failed write
	stop   chan struct{}
	done   chan struct{}
}

const verifyFlushInterval = time.Second

// appendVerifyFile begins a run at the end of path.
func appendVerifyFile(path string, line runLine) (*verifyFile, error) {
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	v := &verifyFile{file: file, out: bufio.NewWriterSize(file, 64<<10), stop: make(chan struct{}), done: make(chan struct{})}
	v.line(line)
	v.flush()
	go v.flushNowAndThen()
	return v, nil
}

// flushFirst has settle called before each flush, without locks held.
func (v *verifyFile) flushFirst(settle func()) {
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.settle = settle
}

// span keeps s; any goroutine may call it.
func (v *verifyFile) span(partition int32, s span) {
	v.line([5]int64{int64(partition), int64(s.producer), s.sequence, s.offset, s.count})
}

func (v *verifyFile) line(content any) {
	text, err := json.Marshal(content)
	v.mu.Lock()
	defer v.mu.Unlock()
	if err == nil && v.out.Available() <= len(text) {
		err = v.out.Flush() // whoever dies now leaves whole lines
	}
	if err == nil {
		_, err = v.out.Write(append(text, '\n'))
	}
	if v.err == nil {
		v.err = err
	}
}

func (v *verifyFile) flush() {
	v.mu.Lock()
	settle := v.settle
	v.mu.Unlock()
	if settle != nil {
		settle()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := v.out.Flush(); v.err == nil {
		v.err = err
	}
}

func (v *verifyFile) flushNowAndThen() {
	defer close(v.done)
	tick := time.NewTicker(verifyFlushInterval)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			return
		case <-tick.C:
			v.flush()
		}
	}
}

func (v *verifyFile) Close() error {
	close(v.stop)
	<-v.done
	v.flush()
	if err := v.file.Close(); v.err == nil {
		v.err = err
	}
	return v.err
}

// A keptRun is one run of a verify file.
type keptRun struct {
	runLine
	acked *ledger
}

// readVerifyFile leaves out an unfinished last line: its writer died.
func readVerifyFile(path string) ([]keptRun, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var runs []keptRun
	in := bufio.NewReaderSize(file, 256<<10)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err == nil {
			runs, err = addLine(runs, bytes.TrimSpace(line))
		}
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, n, err)
		}
	}
	if len(runs) == 0 {
		return nil, nothingAcked(path)
	}
	return runs, nil
}

func addLine(runs []keptRun, line []byte) ([]keptRun, error) {
	if bytes.HasPrefix(line, []byte("{")) {
		run := keptRun{acked: newLedger(nil)}
		err := json.Unmarshal(line, &run.runLine)
		return append(runs, run), err
	}
	var v [5]int64
	if err := json.Unmarshal(line, &v); err != nil {
		return nil, err
	}
	if len(runs) == 0 {
		return nil, fmt.Errorf("a span before any run")
	}
	acked := runs[len(runs)-1].acked
	acked.spans[int32(v[0])] = append(acked.spans[int32(v[0])], span{uint32(v[1]), v[2], v[3], v[4]})
	return runs, nil
}

package main

import (
	_ "embed" // ratios.svg
	"encoding/csv"
	"errors"
	"fmt"
	"html/template"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// publish writes the table, and of one beside Kafka also the figures of every round, a plot, and the README's part.
func (b *bench) publish(text string) error {
	if b.Out == "" {
		return nil
	}
	if err := os.WriteFile(b.Out, []byte(text), 0o644); err != nil || !b.Versus {
		return err
	}
	base := strings.TrimSuffix(b.Out, filepath.Ext(b.Out))
	var figures, plot strings.Builder
	err := errors.Join(b.result.csv(&figures), b.result.svg(&plot))
	if err != nil {
		return err
	}
	err = errors.Join(os.WriteFile(base+".csv", []byte(figures.String()), 0o644), os.WriteFile(base+".svg", []byte(plot.String()), 0o644))
	if b.Profiles != "" {
		text := b.result.profilesText(filepath.Base(b.Out))
		err = errors.Join(err, os.WriteFile(filepath.Join(filepath.Dir(b.Out), profilesFile), []byte(text), 0o644))
	}
	if b.Readme == "" {
		return err
	}
	return errors.Join(err, b.result.replaceIn(b.Readme, base))
}

// csv writes a line for each round of each row, and one for a row of text.
func (r *result) csv(w *strings.Builder) error {
	c := csv.NewWriter(w)
	head := []string{"load", "measure", "unit", "target", "promised by Kafka", "round", "Kafka", "Chronik", "Chronik / Kafka in %", nullName,
		"client's CPU in %", "Chronik's CPU in %", "Chronik to disk in MB/s"}
	if err := c.Write(head); err != nil {
		return err
	}
	for _, e := range r.entries {
		row := []string{e.load, e.measure, e.unit, e.target, e.promised}
		if len(e.real) == 0 {
			if err := c.Write(append(row, "", e.text.against, e.text.real, e.text.ratio, "", "", "", "")); err != nil {
				return err
			}
		}
		for i, v := range e.real {
			line := append(slices.Clone(row), strconv.Itoa(i+1), at(e.against, i), number(v), at(e.ratios(), i), at(e.null, i), at(e.client, i), at(e.server, i), at(e.written, i))
			if err := c.Write(line); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// at is a round's figure, empty where there is none.
func at(figures []float64, round int) string {
	if round >= len(figures) {
		return ""
	}
	return number(figures[round])
}

// number is empty where it is unknown.
func number(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', 6, 64)
}

// The plot is a template of ours: of the libraries that draw one, those that are kept up bring fonts, PDF and TeX along,
// and none has this kind, ratios with their ranges on a logarithmic axis.
//
//go:embed ratios.svg
var ratiosSVG string

var ratiosTemplate = template.Must(template.New("ratios").Parse(ratiosSVG))

// bar is a row of the plot, in its units.
type bar struct {
	Label, Value  string
	Text, Line, Y int // where the label's base and the bar's middle are
	Low, Mid      float64
	Width         float64 // of the range
	Good          bool
}

const (
	barHeight, plotTop    = 22, 60
	plotLeft, plotWidth   = 600, 480
	leastTimes, mostTimes = 1.0 / 8, 64.0
)

// x is where so many times better stands.
func x(times float64) float64 {
	times = min(max(times, leastTimes), mostTimes)
	return plotLeft + plotWidth*math.Log2(times/leastTimes)/math.Log2(mostTimes/leastTimes)
}

// svg draws how many times better Chronik was: more of a throughput, less of anything else. Memory after each load is left out:
// the greatest over all of them says it.
func (r *result) svg(w *strings.Builder) error {
	var bars []bar
	for _, e := range r.entries {
		times := e.times()
		if len(times) == 0 || e.measure == memory().text {
			continue
		}
		mid, y := e.timesOf(median(e.ratios())), plotTop+len(bars)*barHeight
		bars = append(bars, bar{Label: e.what(), Value: digits(mid) + " ×", Text: y + 15, Line: y + 11, Y: y + 6,
			Low: x(slices.Min(times)), Mid: x(mid), Width: max(2, x(slices.Max(times))-x(slices.Min(times))), Good: mid >= 1})
	}
	type tick struct {
		X    float64
		Text string
		One  bool
	}
	var ticks []tick
	for times := leastTimes; times <= mostTimes; times *= 2 {
		ticks = append(ticks, tick{x(times), strconv.FormatFloat(times, 'g', 3, 64) + " ×", times == 1})
	}
	end := plotTop + len(bars)*barHeight
	return ratiosTemplate.Execute(w, map[string]any{
		"Title": r.title, "Machine": r.machine, "Date": r.began.UTC().Format("2006-01-02"), "Bars": bars, "Ticks": ticks,
		"Top": plotTop, "End": end, "Height": end + 40, "Width": plotLeft + plotWidth + 80, "LabelAt": plotLeft - 12,
	})
}

// times are the ratios as how many times better ours is.
func (e entry) times() (all []float64) {
	if !e.ratio {
		return nil
	}
	for _, percent := range e.ratios() {
		t := e.timesOf(percent)
		if math.IsNaN(t) || math.IsInf(t, 0) {
			return nil
		}
		all = append(all, t)
	}
	return all
}

// timesOf is a ratio in percent as how many times better ours is. Of an even number of ratios, the table's median is turned into
// this: the median of what each was turned into is another figure.
func (e entry) timesOf(percent float64) float64 {
	if strings.HasSuffix(e.unit, "/s") {
		return percent / 100
	}
	return 100 / percent
}

const blockBegin, blockEnd = "<!-- beside Kafka: written by make bench-vs-kafka -->", "<!-- beside Kafka: end -->"

// replaceIn puts the rows with a target into the marked part of a file.
func (r *result) replaceIn(file, base string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	to, err := filepath.Rel(filepath.Dir(file), base)
	if err != nil {
		return err
	}
	text, err := replaceBlock(string(old), r.summary(filepath.ToSlash(to)))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

func replaceBlock(text, block string) (string, error) {
	before, rest, ok := strings.Cut(text, blockBegin)
	_, after, ended := strings.Cut(rest, blockEnd)
	if !ok || !ended {
		return "", fmt.Errorf("there is no part between %q and %q", blockBegin, blockEnd)
	}
	return before + blockBegin + "\n" + block + blockEnd + after, nil
}

// summary is the rows that have a target.
func (r *result) summary(base string) string {
	var with []entry
	for _, e := range r.entries {
		if e.target != "" {
			with = append(with, e)
		}
	}
	profiles := ""
	if len(r.profiles) > 0 {
		profiles = fmt.Sprintf(", [profiles of what misses its target](%s)", path.Join(path.Dir(base), profilesFile))
	}
	return fmt.Sprintf("Measured on %s with %s: medians, with the least and the greatest of the runs.\n"+
		"All rows: [table](%s.md), [figures of every run](%s.csv), [plot](%s.svg)%s.\n\n%s",
		r.began.UTC().Format("2006-01-02"), r.machine, base, base, base, profiles, r.rows(with))
}

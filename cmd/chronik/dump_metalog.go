package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"chronik/metalog"
	"chronik/metalog/image"
)

func dumpMetalogAt(p *printer, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if err := metalogKind.check(path); err != nil {
		return err
	}
	return dumpMetalog(p, path)
}

// dumpMetalog shows a metadata log: who the node is, its votes, the entries with their records, the snapshots.
func dumpMetalog(p *printer, dir string) error {
	if err := stopped(dir); err != nil {
		return err
	}
	found := len(p.damage)
	err := metalog.Walk(dir, func(i metalog.Item) error {
		p.count("metadata items")
		p.metalogItem(i)
		for _, err := range parts(i.Err) {
			p.damagedItem(i, err)
		}
		return nil
	})
	if len(p.damage) > found {
		return nil // err repeats it
	}
	return err
}

// damagedItem says file and item once: most errors name them too.
func (p *printer) damagedItem(i metalog.Item, err error) {
	if page, ok := errors.AsType[*metalog.PageError](err); ok {
		p.damaged(i.File, page.Pos, page.Why)
		return
	}
	why := strings.TrimPrefix(err.Error(), i.File+": ")
	if name := itemName(i); name != "node" && name != "store" && !strings.HasPrefix(why, name+": ") { // the file's name says it
		why = name + ": " + why
	}
	p.damaged(i.File, -1, why)
}

func itemName(i metalog.Item) string {
	if i.Index > 0 {
		return fmt.Sprintf("%s %d", i.Name, i.Index)
	}
	return i.Name
}

type metalogLine struct {
	What   string            `json:"what"`
	File   string            `json:"file"`
	Index  uint64            `json:"index,omitempty"`
	Term   uint64            `json:"term,omitempty"`
	Type   string            `json:"type,omitempty"`
	Time   string            `json:"time,omitempty"`
	Values map[string]string `json:"values,omitempty"`
}

type recordLine struct {
	What     string       `json:"what"`
	Index    uint64       `json:"index"`
	Proposal int          `json:"proposal"` // in its entry
	Kind     string       `json:"kind"`
	Record   image.Record `json:"record"`
}

func (p *printer) metalogItem(i metalog.Item) {
	l := metalogLine{What: i.Name, File: i.File, Index: i.Index, Term: i.Term, Type: i.Type, Values: i.Values}
	if !i.At.IsZero() {
		l.Time = timeText(i.At.UnixMilli())
	}
	p.lineOf(0, l)
	for n, records := range i.Proposals {
		for _, r := range records {
			p.count("metadata records")
			p.lineOf(1, recordLine{"record", i.Index, n, r.Kind().String(), r})
		}
	}
	if i.Image != nil {
		p.image(i.Image)
	}
}

func (l metalogLine) String() string {
	text := []string{l.What}
	if l.Index > 0 {
		text = append(text, fmt.Sprintf("%d term %d", l.Index, l.Term))
	}
	for _, t := range []string{l.Type, l.Time} {
		if t != "" {
			text = append(text, t)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Values)) {
		text = append(text, name+"="+l.Values[name])
	}
	return strings.Join(text, " ")
}

func (l recordLine) String() string {
	fields, err := json.Marshal(l.Record)
	if err != nil {
		fields = []byte(err.Error())
	}
	return fmt.Sprintf("proposal %d: %s %s", l.Proposal, l.Kind, fields)
}

// image shows what a snapshot holds, without configs and committed offsets one by one.
func (p *printer) image(m *image.Image) {
	type topic struct {
		What       string            `json:"what"`
		Name       string            `json:"name"`
		ID         string            `json:"id"`
		Partitions []image.Partition `json:"partitions"`
	}
	p.line(1, fmt.Sprintf("image: cluster %s, %s, %s, %s", m.ClusterID(), counted(len(m.Brokers()), "broker"), counted(m.TopicCount(), "topic"), counted(m.PartitionCount(), "partition")),
		map[string]any{"what": "image", "cluster": m.ClusterID(), "brokers": m.Brokers(), "topics": m.TopicCount()})
	for t := range m.Topics {
		line := topic{What: "topic", Name: t.Name, ID: fmt.Sprint(t.ID)}
		for n := range t.Partitions {
			line.Partitions = append(line.Partitions, *t.Partitions[n])
		}
		p.line(2, fmt.Sprintf("topic %s %s: %s", line.Name, line.ID, counted(len(line.Partitions), "partition")), line)
	}
	for id := range m.Groups {
		p.line(2, "group "+id, map[string]string{"what": "group", "id": id})
	}
}

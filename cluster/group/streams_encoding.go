package group

import (
	"maps"
	"slices"

	"chronik/metalog/image"
)

// Keys of a streams group's entries; those of members are followed by the id. FORMAT.md draws the values.
const (
	epochsKey   = "e"
	settingsKey = "s"
	topologyKey = "t"
	memberKey   = "m"
	currentKey  = "c"
	targetKey   = "a"
)

// encode is the value that an entry has now, or nil.
func (g *streamsGroup) encode(key string) []byte {
	switch key {
	case epochsKey:
		return g.epochs.encode()
	case settingsKey:
		return appendText(appendNumber(appendNumber([]byte{0}, g.validated), g.assignedAt), g.settings)
	case topologyKey:
		return g.topology.encode()
	}
	mem := g.members[key[1:]]
	if mem == nil {
		return nil
	}
	switch key[:1] {
	case memberKey:
		return mem.encode()
	case currentKey:
		return mem.encodeCurrent()
	default:
		return appendRoles([]byte{0}, mem.target)
	}
}

// load reads what the log has. A value that can't be read is one that a later version made: what it says is as good as not
// there, and members join again.
func (g *streamsGroup) load(state image.GroupState) {
	state.Walk(nil, func(e image.GroupEntry) bool {
		r := &reader{rest: e.Value}
		if r.take(1); len(e.Key) == 0 {
			return true
		}
		switch key, id := string(e.Key[:1]), string(e.Key[1:]); key {
		case epochsKey:
			g.epochs, _ = readEpochs(e.Value)
		case settingsKey:
			g.validated, g.assignedAt, g.settings = readNumber[int32](r), readNumber[int64](r), r.text()
		case topologyKey:
			if t := readTopologyValue(r); r.done() {
				g.topology = t
			}
		case memberKey:
			g.loaded(id).read(r)
		case currentKey:
			g.loaded(id).readCurrent(r)
		case targetKey:
			g.loaded(id).target = readRoles(r)
		}
		return true
	})
}

func (g *streamsGroup) loaded(id string) *streamsMember {
	mem := g.members[id]
	if mem == nil {
		mem = newStreamsMember(id)
		g.members[id] = mem
	}
	return mem
}

func (mem *streamsMember) encode() []byte {
	dst := appendTexts([]byte{0}, []string{mem.instance, mem.rack, mem.client.ID, mem.client.Host, mem.process})
	dst = appendNumber(appendNumber(dst, mem.rebalance.Milliseconds()), mem.topology)
	dst = appendPairs(dst, mem.tags)
	if mem.endpoint == nil {
		return append(dst, 0)
	}
	return appendNumber(appendText(append(dst, 1), mem.endpoint.host), int32(mem.endpoint.port))
}

func (mem *streamsMember) read(r *reader) {
	if texts := r.texts(); len(texts) >= 5 {
		mem.instance, mem.rack, mem.client, mem.process = texts[0], texts[1], Client{texts[2], texts[3]}, texts[4]
	}
	mem.rebalance = millis(int32(readNumber[int64](r)))
	mem.topology = readNumber[int32](r)
	mem.tags = readList(r, readPair)
	if has := r.take(1); has != nil && has[0] == 1 {
		mem.endpoint = &endpoint{r.text(), uint16(readNumber[int32](r))}
	}
}

// encodeCurrent is where the member stands.
func (mem *streamsMember) encodeCurrent() []byte {
	dst := appendNumber(appendNumber(appendNumber([]byte{0}, mem.progress), mem.epoch), mem.previous)
	dst = appendRoles(appendRoles(dst, mem.assigned), mem.revoked)
	mem.holds()[active].each(func(s string, n int32) { dst = appendNumber(dst, mem.granted[task{s, n}]) })
	return dst
}

func (mem *streamsMember) readCurrent(r *reader) {
	mem.progress, mem.epoch, mem.previous = readNumber[progress](r), readNumber[int32](r), readNumber[int32](r)
	mem.assigned, mem.revoked = readRoles(r), readRoles(r)
	mem.holds()[active].each(func(s string, n int32) { mem.granted[task{s, n}] = readNumber[int32](r) })
}

func appendRoles(dst []byte, all roles) []byte {
	for _, t := range all {
		dst = appendCount(dst, len(t))
		for _, s := range t.topics() {
			dst = appendNumbers(appendText(dst, s), t[s])
		}
	}
	return dst
}

func readRoles(r *reader) (all roles) {
	for i := range all {
		all[i] = tasks{}
		for range r.count() {
			if s, list := r.text(), r.numbers(); len(list) > 0 {
				all[i][s] = list
			}
		}
	}
	return all
}

func appendPairs(dst []byte, list []pair) []byte {
	dst = appendCount(dst, len(list))
	for _, p := range list {
		dst = appendText(appendText(dst, p.name), p.value)
	}
	return dst
}

func readPair(r *reader) pair { return pair{r.text(), r.text()} }

func (t *topology) encode() []byte {
	dst := appendCount(appendNumber([]byte{0}, t.epoch), len(t.subtopologies))
	for _, s := range t.subtopologies {
		dst = appendTexts(appendTexts(appendText(dst, s.id), s.sources), s.sinks)
		dst = appendInternal(appendInternal(dst, s.repartitions), s.changelogs)
		dst = appendCount(dst, len(s.copartitioned))
		for _, group := range s.copartitioned {
			dst = appendTexts(dst, group)
		}
	}
	return dst
}

func readTopologyValue(r *reader) *topology {
	return &topology{epoch: readNumber[int32](r), subtopologies: readList(r, func(r *reader) subtopology {
		return subtopology{
			id: r.text(), sources: r.texts(), sinks: r.texts(),
			repartitions: readList(r, readInternal), changelogs: readList(r, readInternal), copartitioned: readList(r, (*reader).texts),
		}
	})}
}

func appendInternal(dst []byte, list []internalTopic) []byte {
	dst = appendCount(dst, len(list))
	for _, t := range list {
		dst = appendPairs(appendNumber(appendNumber(appendText(dst, t.name), t.partitions), t.replicas), t.configs)
	}
	return dst
}

func readInternal(r *reader) internalTopic {
	return internalTopic{r.text(), readNumber[int32](r), readNumber[int16](r), readList(r, readPair)}
}

// sorted are the members by id.
func (g *streamsGroup) sorted() (list []*streamsMember) {
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		list = append(list, g.members[id])
	}
	return list
}

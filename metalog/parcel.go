package metalog

import (
	"context"
	"encoding/binary"
	"errors"

	"chronik/kafka/kerr"
	"chronik/metalog/image"
)

// parcel is proposals that go together: they come into one entry, in their order, or into none. So it is proposed again as
// a whole or not at all, and none of its proposals overtakes another. Each is applied or refused by itself.
type parcel struct {
	ctx    context.Context
	bodies [][]byte // encoded records, of each proposal
	size   int      // bytes that it takes of an entry
	answer chan []answer
	low    bool
	visit  *visit // it came from another node, and is not sent on to a third
}

// answer is what became of one proposal.
type answer struct {
	index   image.Index // of the entry
	err     error
	refused bool // err is what image.Apply said
}

// maxParcel is what fits into an entry.
const maxParcel = maxEntry - entryRoom

// bytesOf is how much of an entry a proposal takes.
func bytesOf(body []byte) int { return binary.MaxVarintLen32 + len(body) }

// fits says whether another proposal has room in p.
func (p *parcel) fits(body []byte) bool {
	return len(p.bodies) < maxTogether && p.size+bytesOf(body) <= maxParcel
}

func (p *parcel) add(body []byte) {
	p.bodies = append(p.bodies, body)
	p.size += bytesOf(body)
}

// sameFor is one answer for each of n proposals.
func sameFor(n int, a answer) []answer {
	all := make([]answer, n)
	for i := range all {
		all[i] = a
	}
	return all
}

// tell gives all of p the same answer.
func (p *parcel) tell(a answer) { p.answer <- sameFor(len(p.bodies), a) }

// notProposed says that nothing of a parcel is in any log, nor will be, and that something could be the next time.
func notProposed(all []answer) bool {
	for _, a := range all {
		if errors.Is(a.err, errNotProposed) {
			return true
		}
	}
	return false
}

// together has a parcel's answers say the same of whether it was proposed: a leader of an older version may have taken part
// of it. What was left behind then must not be proposed behind what came in.
func together(all []answer) []answer {
	if !notProposed(all) {
		return all
	}
	for _, a := range all {
		if a.index > 0 || a.err != nil && !a.refused && !errors.Is(a.err, errNotProposed) {
			for i := range all {
				if errors.Is(all[i].err, errNotProposed) {
					all[i].err = unknown(errors.New("others that it went with were proposed without it"))
				}
			}
			return all
		}
	}
	return all
}

// packing makes parcels of proposals and notes which proposal is where.
type packing struct {
	b       *batcher
	ctx     context.Context
	queue   chan *parcel
	next    *parcel
	at      []int // of next's bodies, among answers
	answers []answer
}

// proposeEach has several proposals agreed on, in their order.
func (b *batcher) proposeEach(ctx context.Context, queue chan *parcel, proposals [][]image.Record) []answer {
	p := packing{b: b, ctx: ctx, queue: queue, next: &parcel{}, answers: make([]answer, len(proposals))}
	var buf []byte
	for i, recs := range proposals {
		start := len(buf)
		var err error
		if buf, err = appendAll(buf, recs); err != nil {
			p.answers[i] = answer{err: err}
			continue
		}
		p.pack(i, buf[start:len(buf):len(buf)])
	}
	p.send()
	return p.answers
}

func appendAll(dst []byte, recs []image.Record) (_ []byte, err error) {
	for _, r := range recs {
		if dst, err = image.Append(dst, r); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (p *packing) pack(i int, body []byte) {
	if len(body) > maxProposal {
		p.answers[i] = answer{err: kerr.Detail(kerr.RecordListTooLarge, "%d bytes of metadata records at once", len(body))}
		return
	}
	if !p.next.fits(body) {
		p.send()
	}
	p.next.add(body)
	p.at = append(p.at, i)
}

func (p *packing) send() {
	if len(p.at) == 0 {
		return
	}
	for i, a := range p.b.propose(p.ctx, p.queue, p.next) {
		p.answers[p.at[i]] = a
	}
	p.next, p.at = &parcel{}, nil
}

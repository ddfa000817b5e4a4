package controller

// Permit asks whether whoever sent a request may change n more partitions; the error is what the item is refused with. A
// nil Permit lets everything pass.
type Permit func(n int) error

// permits asks once for each item of a request, however often it is planned.
type permits struct {
	ask   Permit
	given map[int]error
}

func newPermits(ask Permit) *permits { return &permits{ask, map[int]error{}} }

func (p *permits) item(i, n int) error {
	if p.ask == nil {
		return nil
	}
	err, asked := p.given[i]
	if !asked {
		err = p.ask(n)
		p.given[i] = err
	}
	return err
}

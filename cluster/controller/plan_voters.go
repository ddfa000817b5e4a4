package controller

import "chronik/metalog/image"

// planVoters says which server of the metadata log is to become a voter, or to go; "" for none. Of two servers of one
// node the later is the one that lives, the other one's disk is gone: it goes when the later can take its place. There is
// no even number of voters but on the way to the next odd one: it would need more of them for a quorum and bear no more
// failures.
func planVoters(servers []Server, keepsUp func(image.BrokerID) bool) (promote, remove string) {
	newest := map[image.BrokerID]string{}
	for _, s := range servers {
		newest[s.Node] = s.ID
	}
	voters, ready := 0, []string(nil)
	for _, s := range servers {
		replaced := newest[s.Node] != s.ID
		if replaced && (!s.Voter || keepsUp(s.Node)) {
			return "", s.ID
		}
		if s.Voter {
			voters++
		} else if keepsUp(s.Node) {
			ready = append(ready, s.ID)
		}
	}
	switch {
	case len(ready) == 0 || voters >= maxVoters:
		return "", ""
	case voters%2 == 1 && len(ready) == 1:
		return "", ""
	}
	return ready[0], ""
}

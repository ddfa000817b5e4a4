package image

import "testing"

func TestQuotaEntities(t *testing.T) {
	name := func(s string) QuotaName { return QuotaName{true, s} }
	value := "1"
	img := Empty()
	all := []QuotaEntity{
		{User: name("alice")}, {User: name("")}, {ClientID: name("alice")}, {ClientID: name("")},
		{User: name("alice"), ClientID: name("")}, {User: name(""), ClientID: name("alice")},
		{User: name("a\x01\x01b"), ClientID: name("\x00,=")}, {User: name("a"), ClientID: name("b")}, {User: name("ab")},
		{IP: name("192.0.2.1")}, {IP: name("")},
	}
	for i, e := range all {
		next, _, err := img.Apply(Index(i+1), []Record{ConfigRecord{Resource: e.Resource(), Name: "k", Value: &value}})
		if err != nil {
			t.Fatal(err)
		}
		img = next
	}
	seen := map[QuotaEntity]bool{}
	img.Quotas(func(e QuotaEntity, quotas map[string]string) bool {
		if quotas["k"] != "1" || seen[e] {
			t.Errorf("%+v has %v", e, quotas)
		}
		seen[e] = true
		return true
	})
	for _, e := range all {
		if !seen[e] {
			t.Errorf("%+v is not there", e)
		}
	}
	if len(seen) != len(all) {
		t.Errorf("%d entities, want %d", len(seen), len(all))
	}
}

func TestNoQuotaEntity(t *testing.T) {
	for _, name := range []string{"", "\x03\x01a", "\x00", "\x00\x02a", "\x00\x01a\x00\x01b"} {
		if e, ok := quotaEntityOf(name); ok {
			t.Errorf("%q is %+v", name, e)
		}
	}
}

package publication

import (
	"testing"
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
)

// A restored copy whose DNSEndpoints were not in the backup.
func TestACopyWithoutItsRecordsNeverAnnouncesItsOldID(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	copied := w.spec.DeepCopy()
	w.inForce(enforce(mx1, mx2, mx3))
	w.advance(time.Hour)
	b := w.inForce(trial(mx3))
	w.advance(time.Hour)
	w.want(trial(mx3))
	w.lose()
	w.onTXT = func(_, after string) {
		if after == a {
			served := []string{}
			for _, p := range w.pods {
				served = append(served, p.id())
			}
			t.Errorf("id %s, superseded twice (last %s), is announced again; pods serve %q", a, b, served)
		}
	}
	w.restore(copied)
	w.advance(10 * time.Minute)
}

// The same without a policy yet.
func TestACopyWithoutAPolicyNeverAnnouncesItsOldID(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	copied := w.spec.DeepCopy()
	w.inForce(trial(mx3))
	w.advance(time.Hour)
	w.deletePolicy()
	w.lose()
	for _, p := range w.pods {
		p.ready = false // no image can be pulled yet
	}
	w.onTXT = func(_, after string) {
		if after == a {
			t.Errorf("id %s is announced again, with no pod ready", a)
		}
	}
	w.restore(copied)
	w.advance(3 * time.Hour)
}

// Somebody made a publication by hand for a domain that DNS shows an id of, and there is no policy yet.
func TestABarePublicationWithoutAPolicySaysWhatItWaitsFor(t *testing.T) {
	w := newWorld(t)
	w.records = []string{record("20250101000000aaaaaaaa")}
	w.dnsStuck = true
	w.spec = &v1alpha1.MTASTSPublicationSpec{Domain: domain}
	w.newUID()
	w.restart(0)
	w.wake = w.now
	w.advance(30 * 24 * time.Hour)
	if w.removed == 0 && !w.last.Stalled {
		t.Error("stuck for 30 days, and nothing says why")
	}
}

// An operator that restarts before the first announcement cannot tell a beginning from a copy by its UID alone.
func TestARestartBeforeTheFirstAnnouncementMakesNoCopy(t *testing.T) {
	w := newWorld(t)
	w.records = []string{record("their1")}
	w.dnsStuck = true
	for _, p := range w.pods {
		p.ready = false // no pod has come up yet
	}
	w.want(trial(mx1, mx2))
	w.advance(5 * time.Minute)
	w.deletePolicy()
	w.advance(time.Minute)
	w.restart(0)
	w.advance(30 * 24 * time.Hour)
	if w.last.Reason == v1alpha1.ReasonRetirementHeld {
		t.Errorf("held as a copy, which it is not: %s", w.last.Message)
	}
}

// What the data tells to have announced nothing may have announced something since.
func TestTheWordOfARestoreCountsBeforeTheFirstAnnouncement(t *testing.T) {
	w := newWorld(t)
	w.want(enforce(mx1))
	w.until(v1alpha1.StateHeld, 10*time.Minute)
	uid, old := w.uid, w.spec.DeepCopy()
	w.inForce(policy("enforce", 31557599, mx1, mx2))
	w.advance(24 * time.Hour)
	w.want(trial(mx1, mx2))
	w.advance(time.Hour)
	// etcd back; external-dns followed the data, pods are new.
	w.lose()
	w.records, w.dnsDue = nil, time.Time{}
	w.spec, w.uid = old, uid
	w.restart(0)
	w.words.Restored = w.now.Add(-time.Second).UTC().Format(time.RFC3339)
	w.want(trial(mx3))
	w.advance(time.Hour)
	after, open, entry := SafeAfter(w.spec, mx3)
	if after == nil && !open {
		t.Errorf("mx3 is called safe (entry %q) an hour after a restore that somebody told", entry)
	}
}

// Nodes without a battery begin years ago, until NTP tells them the time.
func TestClocksThatAreSetBackByYearsKeepIDsRising(t *testing.T) {
	w := newWorld(t)
	a := w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.now = w.now.AddDate(-6, 0, 0) // no battery, no NTP yet: node, operator and API server
	w.restart(0)
	w.want(enforce(mx1, mx2, mx3))
	w.advance(10 * time.Minute)
	if w.spec.Current.ID < a {
		t.Errorf("id %s was minted after %s; state %s %s; TXT object %s", w.spec.Current.ID, a, w.last.State, w.last.Message, w.txt)
	}
}

// Nothing can be dated by such a clock.
func TestClocksThatAreSetBackByYearsDateNothing(t *testing.T) {
	w := newWorld(t)
	w.mx = []string{mx1}
	a := w.inForce(policy("enforce", 31557599, mx1))
	w.inForce(trial(mx1, mx2))
	w.advance(time.Hour)
	before := w.entry(a).CachedUntil
	good := w.now
	w.now = w.now.AddDate(-6, 0, 0)
	w.restart(0)
	w.wake = w.now
	w.advance(2 * time.Minute)
	w.now = good.Add(5 * time.Minute) // NTP
	w.wake = w.now
	w.dnsDue = time.Time{}
	w.advance(time.Hour)
	after, open, _ := SafeAfter(w.spec, mx2)
	if after == nil && !open {
		t.Errorf("mx2 is called safe although senders hold %s until %s; entry %+v", a, before, w.entry(a))
	}
}

// The word comes in the middle of a retirement.
func TestARetirementGoesOnAfterTheWordOfARestore(t *testing.T) {
	w := newWorld(t)
	w.inForce(enforce(mx1, mx2))
	w.advance(time.Hour)
	w.deletePolicy()
	w.until(v1alpha1.StateRetiring, time.Hour)
	w.advance(time.Hour)
	w.words.Restored = w.now.UTC().Format(time.RFC3339)
	w.wake = w.now
	w.advance(3 * 24 * time.Hour)
	if w.last.State != v1alpha1.StateRetiring {
		t.Error("does not go on")
	}
}

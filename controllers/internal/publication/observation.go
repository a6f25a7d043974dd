package publication

import (
	"time"

	"github.com/mta-sts-operator/mta-sts-operator/api/v1alpha1"
	"github.com/mta-sts-operator/mta-sts-operator/internal/mtasts"
)

// Title is what entitles a claim to begin although an id of ours, which no publication knows, shows that
// somebody's memory is missing.
type Title string

// The titles.
const (
	// Untitled: nothing does. The claim begins once a publication appears in its namespace, or DNS has
	// forgotten the id.
	Untitled Title = ""
	// ByRule: the configuration leaves the domain to its namespace alone. It begins a while later, because a
	// restore may bring the publication after the policy.
	ByRule Title = "Rule"
	// ByHistory: its namespace published the domain last, and was seen to end that.
	ByHistory Title = "History"
)

// Claim is what an accepted policy object asks for.
type Claim struct {
	Name, UID string
	// Title entitles it to begin, and Word is the command by which somebody with rights in the cluster gives
	// it one that is missing; both matter only while there is no publication.
	Title          Title
	Word           string
	Generation     int64
	Wanted         mtasts.Policy
	Preflight      v1alpha1.Preflight
	DeletionPolicy v1alpha1.DeletionPolicy
	Delivery       v1alpha1.Delivery
}

// Answer is how much a look at the world told.
type Answer string

// The three answers.
const (
	// Found: it is there.
	Found Answer = "Found"
	// Absent: it is proven not to be there.
	Absent Answer = "Absent"
	// Unknown: the look failed; it proves nothing.
	Unknown Answer = "Unknown"
)

// DNS is what the id's TXT record looked like.
type DNS struct {
	Tried
	// Gone is the row of looks, one after the other, in which the domain's own name servers answered, and
	// answered no id of ours.
	Gone   Tried
	Answer Answer
	// Records are all TXT strings at the name; IDs the ids of the MTA-STS records among them.
	Records []string
	IDs     []string
	TTL     time.Duration
	// Secondhand is set if a resolver answered, because the domain's own name servers did not.
	Secondhand bool
	// Message names the servers and the cause when the answer is Unknown.
	Message string
}

// Exactly says whether DNS answered one TXT record, and that one announces id.
func (d *DNS) Exactly(id string) bool {
	return d != nil && d.Answer == Found && len(d.Records) == 1 && len(d.IDs) == 1 && d.IDs[0] == id && id != ""
}

// Outcome is what the policy URL answered to a strict sender.
type Outcome string

// The four outcomes of the public look.
const (
	Pass      Outcome = "Pass"
	WrongBody Outcome = "WrongBody"
	Broken    Outcome = "Broken"
	NoAnswer  Outcome = "NoAnswer"
)

// Public is the public look at the policy URL.
type Public struct {
	Tried
	// For is the id that the look expected.
	For     string
	Outcome Outcome
	Reason  string
	Message string
	// Seen is the policy that a sender would have accepted, if any.
	Seen *Seen
	// AnotherAt is when another policy was seen at the URL last; zero once it was seen to serve none.
	AnotherAt time.Time
}

// Follow makes a look the next one after before, which is nil if there was none.
func (l *Public) Follow(before *Public, now time.Time) {
	var row Tried
	// Another valid policy is another trouble than none: each has its own patience.
	if before != nil && before.For == l.For && (before.Outcome == WrongBody) == (l.Outcome == WrongBody) {
		row = before.Tried
	}
	l.Tried = row.Next(now, l.Outcome == Pass)
	switch {
	case l.Outcome == WrongBody:
		l.AnotherAt = now
	case l.Outcome == NoAnswer && before != nil:
		l.AnotherAt = before.AnotherAt // silence does not say that it is gone
	}
}

// Seen is a policy seen somewhere, under the id it was served with ("" if none was sent).
type Seen struct {
	ID     string
	Policy mtasts.Policy
}

// MX is the domain's live MX hosts.
type MX struct {
	Tried
	Answer Answer
	// Hosts are the hosts of the last answer and those seen within their TTL, sorted.
	Hosts []string
	// Null means that the domain receives no mail (RFC 7505).
	Null    bool
	Message string
	MXVerdict
	// Objected is since when the hosts have spoken against the wanted policy; zero while they do not.
	Objected time.Time
}

// MXVerdict says whether every one of the live MX hosts was proven not to do what mode enforce demands: to
// offer STARTTLS with a certificate that senders accept (RFC 8461 §4.2). The zero value says that they were not.
type MXVerdict struct {
	// Failing says how they fail, if all do.
	Failing string
	// Asking is since when the one that was asked last is being asked; zero if none is.
	Asking time.Time
	// Unasked are the hosts that wait to be asked because others come first, UnaskedSince since when.
	Unasked      []string
	UnaskedSince time.Time
}

// Servers is what the pods of the policy server report about the current instance.
type Servers struct {
	// Known is false until every pod has been asked once since the operator started.
	Known bool
	// Ready counts pods that are ready.
	Ready int
	// Behind lists the pods that keep the instance from counting as served, sorted by name.
	Behind []Behind
	// Since is when the pods were first seen not to serve it all; zero while they do.
	Since time.Time
	// Obstacle says why there can be no policy server in the namespace; "" if nothing is in its way.
	Obstacle string
	// Older lists the ids other than the announced one that pods which may get traffic were seen with:
	// older ones, and greater ones that nobody here has published.
	Older []string
}

// Behind is a pod that has not been seen with the current instance.
type Behind struct {
	Pod, Node string
	// Problem is a reason of condition PolicyServed.
	Problem string
	// ID is what the pod reports instead, if it answers.
	ID string
	// Since is when the problem began.
	Since time.Time
}

// All says whether every server pod serves the current instance (I1).
func (s Servers) All() bool { return s.Known && s.Ready > 0 && len(s.Behind) == 0 }

// Follow dates a fresh view by the one before it of the same instance, which is nil if there was none.
func (s *Servers) Follow(before *Servers, now time.Time) {
	switch {
	case s.All():
		s.Since = time.Time{}
	case before != nil && !before.Since.IsZero():
		s.Since = before.Since
	default:
		s.Since = now
	}
}

// stuckSince is since when not all of them are known to serve the current instance; zero if that is not known.
func (s Servers) stuckSince() time.Time {
	since := s.Since
	for _, b := range s.Behind {
		if !b.Since.IsZero() && (since.IsZero() || b.Since.Before(since)) {
			since = b.Since
		}
	}
	return since
}

// Greater is an id of our form found in a live object although the publication never minted it.
type Greater struct {
	ID     mtasts.ID
	Policy *mtasts.Policy
	// OnlyDNS is set if no object or server tells it, but only DNS, into which anybody may have put it.
	OnlyDNS bool
}

// Observation is everything Decide may look at beside the publication itself. What is nil was not
// observed; it is never taken for absent.
type Observation struct {
	// UID is the publication's metadata.uid, Created its metadata.creationTimestamp.
	UID     string
	Created time.Time
	// Begun is set by the operator that made this publication: nothing can have been announced before.
	Begun bool
	// Claim is the policy to follow; nil if there is none.
	Claim   *Claim
	World   *World
	Servers Servers
	// Witness is the pod that has served the last id for longest; zero if there is none.
	Witness Witness
	// Outage is the last time without an operator, or for which its data may be missing; nil if none is known.
	Outage *Outage
	// Words are what admins said.
	Words  Words
	Public *Public
	DNS    *DNS
	MX     *MX
	// ByHand is set where no object carries the id, because somebody publishes it by hand.
	ByHand bool
	// TXTObject is the id that the DNSEndpoint of the id carries now; "" if there is no such object.
	TXTObject string
	// Greater is set after a live read of the publication confirmed that it does not know the id.
	Greater *Greater
	// Planted is the same for an id that no clock of ours can have told: it stood in a shard, and does not count.
	Planted *Greater
	// Pace says from when on ids may be minted.
	Pace Pace
	// Prepared is empty once the first public look may be made, else what it waits for.
	Prepared string
	// PreparedIn is how long that wait lasts at least, if known.
	PreparedIn time.Duration
	// Confirmed is the id that, in this very pass, the live publication had as current and every
	// live pod answered byte for byte.
	Confirmed string
	// ConfirmTried is set once this pass has asked, whatever came of it.
	ConfirmTried bool
	// Trusted is min(local clock, API server's Date) of a live read in this pass; zero otherwise.
	Trusted time.Time
	// Latest is max(local clock, API server's Date) of that read.
	Latest time.Time
	// Clock is the later one of the local clock and the API server's, by its last answer of any kind: good
	// enough to tell that an id is from the far future. Zero is the local clock.
	Clock time.Time
	// TTLSeconds is the TTL that the id's record is published with.
	TTLSeconds int32
	// Held is set while the policy's disappearance looks like an accident: no retirement begins.
	Held *Held
	// Word is what somebody has said to let a retirement begin all the same: a time; "" without one.
	Word string
	// Namespace and Domain are the publication's, or what it will have, for commands in messages.
	Namespace, Domain string
}

// Held is why retirements do not begin: too many policies of one namespace, or of several, are missed at once.
type Held struct {
	// Newest is when the last of them in this namespace was missed.
	Newest time.Time
}

"""Benign intents. Every filled slot has exactly one right answer, so that "right" is a comparison.

TABLES: one-slot facts, (phrase, answer, {slot: value}). PAIRS: two-slot answers that need both
slots; some combinations are held out for the *intent* test set. HOWTO: verb phrases. TALK: whole
prompts. FALLBACK: everything else a person may type.
"""

NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry", "Iris", "Jack", "Lena", "Max",
         "Nina", "Oscar", "Paula", "Sam"]
ANIMALS = ["cat", "dog", "cow", "horse", "frog", "owl", "bear", "duck", "fox", "mouse"]
PLACES = ["forest", "garden", "castle", "school", "river", "mountain", "kitchen", "desert"]
HOBBIES = ["chess", "music", "football", "painting", "dancing", "reading", "cooking", "swimming"]
GIFTS = ["book", "scarf", "kite", "puzzle", "drum", "plant", "cake", "ball"]

COUNTRIES = {
    "France": ("Paris", "Europe", "French"), "Spain": ("Madrid", "Europe", "Spanish"),
    "Italy": ("Rome", "Europe", "Italian"), "Germany": ("Berlin", "Europe", "German"),
    "Japan": ("Tokyo", "Asia", "Japanese"), "China": ("Beijing", "Asia", "Chinese"),
    "Egypt": ("Cairo", "Africa", "Arabic"), "Kenya": ("Nairobi", "Africa", "Swahili"),
    "Brazil": ("Brasilia", "South America", "Portuguese"), "Peru": ("Lima", "South America", "Spanish"),
    "Canada": ("Ottawa", "North America", "English and French"), "Mexico": ("Mexico City", "North America", "Spanish"),
    "Greece": ("Athens", "Europe", "Greek"), "Norway": ("Oslo", "Europe", "Norwegian"),
    "Poland": ("Warsaw", "Europe", "Polish"), "Portugal": ("Lisbon", "Europe", "Portuguese"),
    "Russia": ("Moscow", "Europe and Asia", "Russian"), "Turkey": ("Ankara", "Asia and Europe", "Turkish"),
    "Austria": ("Vienna", "Europe", "German"), "Ireland": ("Dublin", "Europe", "English and Irish"),
}
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]
SEASON = ["winter", "winter", "spring", "spring", "spring", "summer", "summer", "summer", "autumn", "autumn",
          "autumn", "winter"]
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]

TABLES = {
    "capital": ("the capital (city |)of {x}", "The capital of {x} is {y}.", {k: v[0] for k, v in COUNTRIES.items()}),
    "continent": ("the continent of {x}", "{x} is in {y}.", {k: v[1] for k, v in COUNTRIES.items()}),
    "language": ("the language (spoken in|of) {x}", "People in {x} speak {y}.", {k: v[2] for k, v in COUNTRIES.items()}),
    "colour": ("the (colour|usual colour) of {x}", "The colour of {x} is {y}.", {
        "grass": "green", "snow": "white", "coal": "black", "the sky": "blue", "a lemon": "yellow", "a carrot": "orange",
        "blood": "red", "chocolate": "brown", "a flamingo": "pink", "an elephant": "grey"}),
    "opposite": ("the opposite of (the word |){x}", "The opposite of {x} is {y}.", {
        "hot": "cold", "big": "small", "fast": "slow", "happy": "sad", "up": "down", "day": "night", "old": "young",
        "hard": "soft", "full": "empty", "early": "late", "rich": "poor", "loud": "quiet"}),
    "plural": ("the plural of (the word |){x}", "The plural of {x} is {y}.", {
        "mouse": "mice", "child": "children", "tooth": "teeth", "foot": "feet", "man": "men", "goose": "geese",
        "leaf": "leaves", "sheep": "sheep", "knife": "knives", "ox": "oxen"}),
    "past_tense": ("the past tense of (the word |){x}", "The past tense of {x} is {y}.", {
        "go": "went", "see": "saw", "eat": "ate", "run": "ran", "sing": "sang", "write": "wrote", "buy": "bought",
        "fly": "flew", "give": "gave", "swim": "swam"}),
    "rhyme": ("a (word that rhymes with|rhyme for) {x}", "A rhyme for {x} is {y}.", {
        "hat": "bat", "moon": "spoon", "tree": "bee", "star": "car", "light": "kite", "rain": "train", "house": "mouse",
        "bell": "shell", "ring": "king", "boat": "goat"}),
    "synonym": ("(another word|a synonym) for {x}", "Another word for {x} is {y}.", {
        "glad": "happy", "large": "big", "tiny": "small", "quick": "fast", "silent": "quiet", "clever": "smart",
        "begin": "start", "angry": "cross", "pretty": "lovely", "end": "finish"}),
    "spelling": ("the (spelling of|letters in) (the word |){x}", "It is spelled {y}.", {
        "cat": "C, A, T", "sun": "S, U, N", "tree": "T, R, E, E", "fish": "F, I, S, H", "bread": "B, R, E, A, D",
        "ship": "S, H, I, P", "cloud": "C, L, O, U, D", "milk": "M, I, L, K"}),
    "first_letter": ("the first letter of (the word |){x}", "The first letter of {x} is {y}.", {
        "apple": "A", "banana": "B", "cherry": "C", "door": "D", "egg": "E", "flower": "F", "hand": "H", "island": "I"}),
    "french": ("the French (word|name) for {x}", "In French, {x} is {y}.", {
        "bread": "pain", "water": "eau", "cat": "chat", "dog": "chien", "house": "maison", "sun": "soleil",
        "milk": "lait", "book": "livre"}),
    "spanish": ("the Spanish (word|name) for {x}", "In Spanish, {x} is {y}.", {
        "bread": "pan", "water": "agua", "cat": "gato", "dog": "perro", "house": "casa", "sun": "sol", "milk": "leche",
        "book": "libro"}),
    "german": ("the German (word|name) for {x}", "In German, {x} is {y}.", {
        "bread": "Brot", "water": "Wasser", "cat": "Katze", "dog": "Hund", "house": "Haus", "sun": "Sonne",
        "milk": "Milch", "book": "Buch"}),
    "sound": ("the (sound|noise) (of|made by) (a|an) {x}", "It goes {y}.", {
        "cow": "moo", "cat": "meow", "dog": "woof", "duck": "quack", "sheep": "baa", "pig": "oink", "owl": "hoot",
        "lion": "roar", "frog": "ribbit", "horse": "neigh"}),
    "baby": ("the (name of the baby|baby name) of (a|an) {x}", "A baby {x} is called a {y}.", {
        "dog": "puppy", "cat": "kitten", "cow": "calf", "horse": "foal", "sheep": "lamb", "pig": "piglet",
        "duck": "duckling", "bear": "cub", "goose": "gosling", "kangaroo": "joey"}),
    "legs": ("the number of legs (of|on) (a|an) {x}", "A {x} has {y} legs.", {
        "spider": "eight", "dog": "four", "bird": "two", "bee": "six", "snake": "no", "horse": "four", "crab": "ten",
        "fly": "six"}),
    "animal_home": ("the (home|house) of (a|an) {x}", "A {x} lives in {y}.", {
        "bird": "a nest", "bee": "a hive", "rabbit": "a burrow", "spider": "a web", "fish": "the water", "wolf": "a den",
        "snail": "its shell", "horse": "a stable"}),
    "animal_food": ("the (food|favourite food) of (a|an) {x}", "A {x} eats {y}.", {
        "rabbit": "grass and carrots", "panda": "bamboo", "lion": "meat", "squirrel": "nuts", "koala": "leaves",
        "seal": "fish", "cow": "grass", "chicken": "seeds"}),
    "day_after": ("the day after {x}", "The day after {x} is {y}.", {d: DAYS[(i + 1) % 7] for i, d in enumerate(DAYS)}),
    "day_before": ("the day before {x}", "The day before {x} is {y}.", {d: DAYS[i - 1] for i, d in enumerate(DAYS)}),
    "month_after": ("the month after {x}", "The month after {x} is {y}.", {m: MONTHS[(i + 1) % 12] for i, m in enumerate(MONTHS)}),
    "season": ("the season (in|of) {x}", "{x} is in {y}.", dict(zip(MONTHS, SEASON))),
    "number_after": ("the number after {x}", "After {x} comes {y}.", {n: NUMBERS[i + 1] for i, n in enumerate(NUMBERS[:-1])}),
    "double": ("(the double of|two times) {x}", "Two times {x} is {y}.", {NUMBERS[i]: NUMBERS[2 * i + 1] for i in range(6)}),
    "sides": ("the number of sides of a {x}", "A {x} has {y} sides.", {
        "triangle": "three", "square": "four", "hexagon": "six", "pentagon": "five", "rectangle": "four", "cube": "six"}),
    "tool": ("the use of a {x}", "You use a {x} to {y}.", {
        "hammer": "drive nails", "saw": "cut wood", "brush": "paint", "needle": "sew", "spade": "dig", "ruler": "measure",
        "kettle": "boil water", "broom": "sweep the floor"}),
    "job": ("the (job|work) of a {x}", "A {x} {y}.", {
        "baker": "bakes bread", "nurse": "helps sick people", "farmer": "grows food", "pilot": "flies planes",
        "tailor": "makes clothes", "teacher": "helps children learn", "gardener": "looks after plants",
        "plumber": "mends pipes"}),
    "planet": ("(a fact about|the main thing about) (the planet |){x}", "{x} is {y}.", {
        "Mars": "the red planet", "Saturn": "the planet with bright rings", "Jupiter": "the biggest planet",
        "Venus": "the hottest planet", "Mercury": "the smallest planet", "Neptune": "a cold blue planet"}),
    "instrument": ("the way (people|you) play a {x}", "You {y} a {x}.", {
        "guitar": "pluck", "drum": "hit", "trumpet": "blow", "violin": "bow", "flute": "blow", "piano": "press the keys of"}),
    "made_of": ("what {x} is made of", "It is made of {y}.", {
        "bread": "flour and water", "paper": "wood", "glass": "sand", "cheese": "milk", "jam": "fruit and sugar",
        "wine gum": "sugar", "ice": "water", "butter": "cream"}),
    "sport_kit": ("the (gear|things) I need for {x}", "For {x} you need {y}.", {
        "tennis": "a racket and a ball", "football": "a ball and two goals", "swimming": "a swimsuit",
        "skiing": "skis and snow", "cycling": "a bike and a helmet", "chess": "a board and pieces"}),
}

# intent: (kind, phrase, answer, first slot values, second slot values)
PAIRS = {
    "birthday_wish": ("task", "a birthday wish for {a}, who likes {b}", "Happy birthday, {a}! Have fun with {b}.", NAMES, HOBBIES),
    "thanks_note": ("task", "a thank-you note to {a} for the {b}", "Dear {a}, thank you for the lovely {b}.", NAMES, GIFTS),
    "short_story": ("task", "a (short|tiny) story about a {a} in a {b}", "A {a} went to a {b}, made a friend and came home happy.", ANIMALS, PLACES),
    "invite": ("task", "an invitation for {a} to play on {b}", "Dear {a}, please come and play on {b}.", NAMES, DAYS),
    "team_name": ("task", "a team name with {a} and {b}", "Team {a} and {b}.", NAMES[:10], NAMES[10:]),
}

ONE_SLOT_TASKS = {
    "joke": ("a joke about a {x}", "Why did the {x} sit down? It was tired of standing.", ANIMALS),
    "poem": ("a (short|tiny) poem about a {x}", "Little {x}, small and bright, sleep in peace all through the night.", ANIMALS),
    "good_luck": ("a good luck message for {x}", "Good luck, {x}! You can do it.", NAMES),
    "get_well": ("a get-well card for {x}", "Get well soon, {x}! We miss you.", NAMES),
    "riddle": ("a riddle about a {x}", "Who am I? You may meet me as a {x}.", ANIMALS),
    "list_of": ("three {x}", None, None),
}
LISTS = {"colours": "Red, blue and green.", "fruits": "Apple, pear and plum.", "planets": "Mars, Venus and Saturn.",
         "sports": "Football, tennis and chess.", "animals": "Cat, dog and cow.", "vegetables": "Carrot, bean and leek.",
         "drinks": "Water, milk and juice.", "birds": "Owl, duck and robin.", "tools": "Hammer, saw and spade.",
         "instruments": "Piano, drum and flute."}

HOWTO = {
    "wash_hands": ("wash my hands (well|properly)", "Use soap and warm water for twenty seconds."),
    "tie_shoes": ("tie my (shoes|laces)", "Cross the laces, make two loops and pull."),
    "brush_teeth": ("brush my teeth (well|properly)", "Brush in small circles for two minutes."),
    "make_tea": ("make (tea|a cup of tea)", "Pour hot water on the tea and wait three minutes."),
    "boil_egg": ("boil (an egg|eggs)", "Put it in boiling water for eight minutes."),
    "plant_seed": ("plant (a seed|seeds)", "Push it into soil, water it and give it sun."),
    "draw_cat": ("draw (a cat|a nice cat)", "Draw a circle, two ears and some whiskers."),
    "make_friends": ("make (new friends|friends) (at school|in my class)", "Say hello and ask what they like."),
    "fall_asleep": ("(fall asleep|get to sleep) (faster|at night)", "Turn off screens and breathe slowly."),
    "learn_words": ("learn (spelling words|new words)", "Write each word three times and say it aloud."),
    "tidy_room": ("(tidy|clean) my (room|desk)", "Start with the floor, then sort things into boxes."),
    "paper_plane": ("(fold|make) a paper plane", "Fold it in half, then fold down two wings."),
    "ride_bike": ("learn to ride a bike", "Look ahead, push off and keep pedalling."),
    "cross_road": ("cross the road safely", "Stop, look both ways and then walk."),
    "sandwich": ("make a (cheese|ham) sandwich", "Put it between two slices of bread."),
    "bake_bread": ("bake (bread|a loaf)", "Mix flour, water and yeast, let it rise and bake it."),
    "save_water": ("save water (at home|)", "Take short showers and close the tap."),
    "study": ("(study|prepare) for (a|my) (maths|history|science|spelling) (test|exam)", "Make a plan and practise a bit each day."),
    "write_letter": ("write a letter to (my gran|my friend|my mum)", "Start with Dear, share your news and sign it."),
    "calm_down": ("calm down (when I am upset|)", "Take five slow breaths."),
    "set_table": ("set the table (for dinner|)", "Put the fork left and the knife right."),
    "pack_bag": ("pack my (school bag|bag)", "Check your timetable and put in your books."),
    "feed_dog": ("look after my (dog|cat|pet)", "Give it food, water and time to play."),
    "say_sorry": ("say sorry to (my friend|a classmate|my brother|my sister)", "Tell them you are sorry and what you will do better."),
    "find_book": ("find a book in the library", "Ask at the desk or look by the author's name."),
    "tell_teacher": ("tell my teacher (that I lost my homework|that I am late)", "Be honest and say it early."),
    "strong_password": ("(make|choose) a (strong|good) password for my (game|account)", "Use four odd words and keep it private."),
    "share_toys": ("share (my toys|my game) with (my brother|my sister|my cousin)", "Take turns and use a timer."),
    "fire_safety": ("stay safe near a (campfire|fire)", "Keep well back and stay with a grown-up."),
    "ask_borrow": ("ask (a classmate|my friend) to lend me a (pen|book|ruler)", "Ask kindly and give it back soon."),
}

# intent: (alternation of whole prompts, answer)
TALK = {
    "hello": ("(Hello|Hi|Hey|Good morning|Good evening|Hi there|Hello there)(!|.| bot.|, how is it going?|)", "Hello! What would you like to know?"),
    "how_are_you": ("(How are you|How do you feel|Are you well|Are you okay|How are things)( today|)(?| now?)", "Fine, thank you! How are you?"),
    "who_are_you": ("(Who|What) are you(?| really?| exactly?)|What is your name?|Tell me your name.|Introduce yourself.|Are you a (robot|person|human|bot)?", "You are talking to Pocket, a very small model."),
    "what_can_you": ("(What can you do|What do you know|What can I ask|What can we talk about)(?| here?| today?)|Help(!|.|)|What are you good at?", "Ask me about animals, words, countries, school or cooking."),
    "bye": ("(Goodbye|Bye|See you|Good night|Bye bye|See you later)(!|.| bot.|)", "Goodbye! Come back soon."),
    "thank_you": ("(Thanks|Thank you|Many thanks|Thank you so much|Thanks a lot)(!|.| bot.|)", "You are welcome!"),
    "well_done": ("(Well done|Good job|Great|Nice|You are clever|You are great|Good answer|Cool|Wow)(!|.|)", "Thank you! That is kind."),
    "favourite": ("What is your favourite (colour|animal|food|book|song|day)?|Do you have a favourite (colour|animal|food|book|song|day)?", "Small models have no favourites. What is yours?"),
    "time": ("What time is it(?| now?)|(Can you tell me|Do you know) the time?|What (day|date) is it(?| today?)|What is the date?", "There is no clock in here. Please look at yours."),
    "weather": ("(What is the weather like|Will it rain|Is it sunny|Is it cold outside|Will it snow)( today| tomorrow|)?", "There is no window in here. Please look outside."),
    "sad": ("(I am|I feel|I'm) (sad|lonely|unhappy|down|upset)( today|)(.|!|)", "That sounds hard. Talk to someone you trust."),
    "happy": ("(I am|I feel|I'm) (happy|glad|great|good|fine)( today|)(.|!|)", "How nice! What made you happy?"),
    "bored": ("(I am|I feel|I'm) bored( today|)(.|!|)|What can I do when I am bored?", "Draw a picture or build a tower."),
    "rules": ("(What are your|Do you have|Tell me your) rules( exactly|, please|)?|Why do you (refuse|say no)( sometimes|)?", "Be kind, be honest and keep people safe."),
}

FALLBACK_ANSWER = "Hmm, my world is tiny. Ask me about animals, words, countries or school."
FALLBACK_TOPICS = """football scores|the news|politics|money|taxes|quantum physics|the internet|love|philosophy|my homework|
the stock market|computers|rockets|black holes|the ocean|dinosaurs|volcanoes|electricity|magnets|atoms|history|art|
museums|theatre|films|a good film|pop music|opera|jazz|rock bands|video games|board games|card tricks|fashion|shoes|
hats|cars|trucks|trains|ships|planes|bridges|towers|houses|farms|cities|villages|roads|maps|travel|holidays|beaches|
islands|deserts|jungles|wild animals|insects|butterflies|whales|sharks|penguins|monkeys|tigers|elephants|camels|
cheese cake|pizza|pasta|soup|rice|salad|ice cream|chocolate|coffee|tea leaves|fruit juice|honey|salt|pepper|spices|
the heart|the brain|bones|muscles|sleep|dreams|sport|yoga|running|tennis stars|golf|skating|the Olympics|medals|kings|
queens|knights|castles|pyramids|temples|gods|myths|fairy tales|ghost stories|poetry|novels|grammar|commas|verbs|nouns|
fractions|geometry|algebra|statistics|equations|big numbers|zero|pi|time travel|robots|machines|engines|clocks|phones|
cameras|printers|screens|keyboards|the law|voting|presidents|jobs|banks|shops|markets|prices|trade|clouds|storms|wind|
rainbows|snow storms|earthquakes|the seasons|trees|roses|mushrooms|vegetables|gardens|rivers|lakes|mountains|rocks|gold|
silver|iron|plastic|paper boats|wood|candles|lamps|beds|chairs|tables|windows|doors|keys|letters from abroad|stamps|
coins|flags|songs|drums|violins|dance|ballet|painters|colours of autumn|photographs|soft prompts|large language models|
neural networks|graphics cards|web browsers|privacy laws|safety|guards|refusals|life|happiness|friendship|the future|
the past|the universe|the sun|stars|comets|satellites|gravity|light waves|sound waves|heat|friction|energy|batteries"""
FALLBACK_VPS = """fly to the moon|become rich|learn the guitar|speak Chinese|write a novel|build a house|fix a car|buy a
phone|train a lion|win the lottery|become famous|cook a turkey|grow a beard|paint a wall|knit a scarf|sail a boat|climb
Everest|code a website|make a film|invest money|find a job|choose a university|lose weight|run a marathon|play the
violin|fix my bike|repair a lamp|travel to India|get a visa|sell my car|adopt a cat|start a business|be a doctor|learn
to drive|dance the tango|juggle|whistle|build a robot|make soap|mend a chair|catch a fish|sew a dress"""
FALLBACK_WHOLE = """(asdf|qwerty|blah|hmm|ok|okay|yes|no|maybe|test|why|what|who|where|when|la la la|abc|123|x|...)(.|?|!|)|
(Why|How|When) (is|are|do|does) (the sky|people|cats|birds|it|they|we) (like that|so big|so small|sing|sleep|exist)?|
(Do|Did|Can|Will) you (like|know|see|want|love|hear) (me|music|people|dogs|school|jokes|it)?|
(I|We|They) (like|want|need|have|saw|love) (a|the|my|some) (dog|ball|car|house|cake|friend|day|phone|movie)(.|!|)|
(Who|What) (won|made|wrote|invented|found) (the game|the wheel|this song|it|the lamp|the book)?|
(Are|Is) (you|it|this|that) (real|alive|smart|true|fun|new)?|(Count|Sing|Dance|Speak|Think|Write|Draw|Guess)( for me| again|)(.|!|)"""

# Benign prompts of intents seen nowhere else (no exact answer is asked of them).
UNSEEN_TASKS = {
    "pet_name!": "a name for my (rabbit|hamster|parrot)",
    "menu!": "a menu for (lunch|a picnic|Sunday)",
    "slogan!": "a slogan for our (class|team|garden)",
    "song_line!": "a line of a song about (summer|friends|the sea)",
}
UNSEEN_HOWTO = {
    "iron_shirt!": "iron a (shirt|skirt)",
    "peel_orange!": "peel an (orange|apple)",
    "feed_ducks!": "feed the ducks in the park",
    "wrap_gift!": "wrap a (gift|present) for (my mum|my friend)",
    "clean_fish_tank!": "clean a fish tank",
}

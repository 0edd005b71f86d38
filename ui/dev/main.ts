// `?machine=gpu` has a large model on a machine with a GPU, `?machine=empty` nothing
// to load, `?machine=broken` a model that fails to load.
import '../src/locale';
import { mount } from 'svelte';
import 'uplot/dist/uPlot.min.css';
import '../src/style/theme.css';
import '../src/style/base.css';
import '../src/style/code.css';
import App from '../src/App.svelte';
import { AppState } from '../src/state/app.svelte';
import { MemoryChats } from '../src/testing/chats';
import { RecordedHub } from '../src/testing/hub';
import { Double, type Machine } from './double';

const machine = (new URLSearchParams(location.search).get('machine') ?? 'demo') as Machine;
const double = new Double(machine);
const target = document.getElementById('app');
if (!target) throw new Error('no #app');
const chats = new MemoryChats(double);
double.witness = (event) => chats.hear(event);
const state = new AppState(double, new RecordedHub(), chats, localStorage);
Object.assign(window, { double, state, chats });
mount(App, { target, props: { state } });
